package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

const tooLarge = "the request is larger than 64 KiB: name fewer replicas"

// read takes the body of a request into v, a pointer to a struct with the JSON
// members of keys. What is not exactly that is answered with an error, and the
// result is false. With no keys, the body may be empty.
func read(w http.ResponseWriter, r *http.Request, v any, keys ...string) bool {
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, http.StatusRequestEntityTooLarge, tooLarge)
		return false
	case err != nil:
		fail(w, http.StatusBadRequest, "read the body: "+err.Error())
		return false
	case len(body) == 0 && len(keys) == 0:
		return true
	}
	if err := decode(body, v, keys); err != nil {
		fail(w, http.StatusBadRequest, "the body: "+err.Error())
		return false
	}
	return true
}

// decode is json.Unmarshal without its mercy: an object, members of exactly
// these names, none of them twice and none null. A slip in a name would
// otherwise turn a request for one replica into one for all.
func decode(body []byte, v any, keys []string) error {
	if err := checkKeys(body, keys); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

func checkKeys(body []byte, keys []string) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	var seen []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		switch {
		case !ok || !slices.Contains(keys, key):
			return fmt.Errorf("unknown member %s", quote(fmt.Sprint(t)))
		case slices.Contains(seen, key):
			return fmt.Errorf("member %s is given twice", quote(key))
		}
		seen = append(seen, key)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if string(value) == "null" {
			return fmt.Errorf("member %s is null", quote(key))
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// named refuses a list with an empty name.
func named(w http.ResponseWriter, replicas []string) bool {
	if slices.Contains(replicas, "") {
		fail(w, http.StatusBadRequest, "replicas has an empty name")
		return false
	}
	return true
}
