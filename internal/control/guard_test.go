package control

import (
	"encoding/base64"
	"strings"
	"testing"
)

const token = "0123456789abcdef0123"

func basic(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("someone:"+password))
}

func TestGuard(t *testing.T) {
	loopback := Options{}
	withToken := Options{Token: token}
	public := Options{Token: token, RequireToken: true}
	bearer := []string{"Authorization", "Bearer " + token}
	wrong := []string{"Authorization", "Bearer " + strings.ToUpper(token)}
	none := []string{"Authorization", "Bearer "}
	tests := []struct {
		name    string
		options Options
		method  string
		header  []string
		code    int
	}{
		{"loopback reads", loopback, "GET", nil, 200},
		{"loopback reads, name", loopback, "GET", []string{"Host", "LocalHost"}, 200},
		{"loopback reads, address", loopback, "GET", []string{"Host", "127.0.0.2:80"}, 200},
		{"loopback reads, address 6", loopback, "GET", []string{"Host", "[::1]"}, 200},
		{"loopback reads, address 6 with port", loopback, "GET", []string{"Host", "[::1]:8754"}, 200},
		{"loopback, name of another", loopback, "GET", []string{"Host", "evil.example:8754"}, 403},
		{"loopback, name that begins well", loopback, "GET", []string{"Host", "localhost.evil.example"}, 403},
		{"loopback, address that begins well", loopback, "GET", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"loopback, other address", loopback, "GET", []string{"Host", "192.0.2.1"}, 403},
		{"loopback, no name", loopback, "GET", []string{"Host", ""}, 403},
		{"loopback changes", loopback, "POST", nil, 403},
		{"loopback changes, empty bearer", loopback, "POST", none, 403},
		{"loopback changes, some bearer", loopback, "POST", bearer, 403},
		{"loopback with token reads without", withToken, "GET", nil, 200},
		{"loopback with token, name of another", withToken, "GET", []string{"Host", "evil.example"}, 403},
		{"loopback with token, name of another, bearer", withToken, "GET", append([]string{"Host", "kdc1.example.com"}, bearer...), 200},
		{"loopback with token changes without", withToken, "POST", nil, 401},
		{"loopback with token changes with a wrong one", withToken, "POST", wrong, 401},
		{"loopback with token changes", withToken, "POST", bearer, 200},
		{"loopback with token changes by password", withToken, "POST", []string{"Authorization", basic(token)}, 401},
		{"public reads without", public, "GET", nil, 401},
		{"public reads with a wrong one", public, "GET", wrong, 401},
		{"public reads with none", public, "GET", none, 401},
		{"public reads", public, "GET", bearer, 200},
		{"public reads, lower case", public, "GET", []string{"Authorization", "bearer " + token}, 200},
		{"public reads, other name", public, "GET", append([]string{"Host", "kdc1.example.com"}, bearer...), 200},
		{"public reads by password", public, "GET", []string{"Authorization", basic(token)}, 200},
		{"public reads by a wrong password", public, "GET", []string{"Authorization", basic("x")}, 401},
		{"public changes without", public, "POST", nil, 401},
		{"public changes by password", public, "POST", []string{"Authorization", basic(token)}, 401},
		{"public changes", public, "POST", bearer, 200},
		{"public without a token at all", Options{RequireToken: true}, "GET", none, 401},
		{"public without a token at all, empty password", Options{RequireToken: true}, "GET", []string{"Authorization", basic("")}, 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			test.options.Service = f
			path := "/v1/status"
			if test.method == "POST" {
				path = "/v1/now"
			}
			w := ask(New(test.options).TCP(), test.method, path, "{}", test.header...)
			if w.Code != test.code {
				t.Errorf("%d %s, want %d", w.Code, w.Body, test.code)
			}
			if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("%d with header %v", w.Code, w.Header())
			}
			if w.Code >= 400 {
				checkFailure(t, w)
				if len(f.requests) > 0 {
					t.Error("the service was asked for a change")
				}
			}
			if strings.Contains(w.Body.String(), token) {
				t.Error("the answer has the token")
			}
			checkHeader(t, w)
		})
	}
}
