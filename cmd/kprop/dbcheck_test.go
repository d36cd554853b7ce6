package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// databaseCopy copies the fixture's database and its lock files, which nobody
// may write.
func databaseCopy(t *testing.T, principals string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "principal")
	for from, to := range map[string]string{
		principals: path, "principal.kadm5": path + ".kadm5", "principal.ok": path + ".ok", "principal.kadm5.lock": path + ".kadm5.lock",
	} {
		if err := os.WriteFile(to, []byte(readText(t, filepath.Join(kdbFixtures, from))), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// patched changes a number in a file.
func patched(t *testing.T, path string, at int, n uint32) {
	t.Helper()
	b := []byte(readText(t, path))
	binary.LittleEndian.PutUint32(b[at:], n)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDBCheckGood(t *testing.T) {
	for fixture, want := range map[string]string{
		"principal":        "  principals  45 in 23 pages of 4096 bytes: 7 leaf pages, 1 above them, 10 overflow, 4 free; 2 levels\n",
		"principal.loaded": "  principals  45 in 17 pages of 4096 bytes: 5 leaf pages, 1 above them, 10 overflow, 0 free; 2 levels\n",
		"principal.hash":   "  principals  45 in 19 pages of 4096 bytes, a hash: kdb5_util load makes a btree of it\n",
	} {
		path := databaseCopy(t, fixture)
		got := runAlone(t, newDBCheckCommand(), nil, "-d", path)
		want := path + ": good\n" + want + "  policies    5 in 2 pages of 4096 bytes: 1 leaf page, 0 above them, 0 overflow, 0 free; 1 level\n  locked for  "
		if got.exit != 0 || got.stderr != "" || !strings.HasPrefix(got.stdout, want) {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

func TestDBCheckBad(t *testing.T) {
	const page = 4096
	whole := "on the primary, write the files anew; every record can be read, and all of this is gone then:  kprop dump FILE && kprop load FILE"
	lost := "do not propagate it, since records may be missing"
	for _, c := range []struct {
		file   string
		at     int
		number uint32
		want   []string
	}{
		{"", 12, 1, []string{": page 0, byte 12: page 1 is said to be free, but is in use: the next change overwrites it\n", whole, "systemctl stop krb5-kdc"}},
		{"", 12, 0, []string{": 4 pages in nobody's use (", "harmless, and gone after the next load"}},
		{"", 2*page + 8, 3, []string{": page 2, byte 8: the page links to page ", lost, "cp -a "}},
		{"", page, 7, []string{": page 1, byte 0: the page says that it is page 7\n", "pages in nobody's use", "records may be on them"}},
		{"", 0, 7, []string{": page 0, byte 0: not a DB2 database file: it begins with 0x00000007", lost}},
		{"", 8, 100, []string{": page 0, byte 8: pages of 100 bytes cannot be", lost}},
		{".kadm5", page, 7, []string{"principal.kadm5: page 1, byte 0: the page says that it is page 7\n", lost}},
	} {
		path := databaseCopy(t, "principal")
		patched(t, path+c.file, c.at, c.number)
		exit, verdict := 1, ": NOT GOOD\n"
		if c.number == 0 { // leaked pages are no fault
			exit, verdict = 0, ": good\n"
		}
		got := runAlone(t, newDBCheckCommand(), nil, "-d", path)
		if got.exit != exit || !strings.HasPrefix(got.stdout, path+verdict) {
			t.Errorf("%d at %d: %+v", c.number, c.at, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%d at %d: no %q in\n%s", c.number, c.at, want, got.stdout)
			}
		}
	}
}

func TestDBCheckJSON(t *testing.T) {
	path := databaseCopy(t, "principal")
	patched(t, path, 12, 1)
	got := runAlone(t, newDBCheckCommand(), nil, "-d", path, "--json")
	var o dbcheckOutcome
	if err := json.Unmarshal([]byte(got.stdout), &o); err != nil || got.exit != 1 {
		t.Fatalf("%v, %+v", err, got)
	}
	if o.Good || !o.Whole || o.Database != path || o.Principals.Records != 45 || o.Policies.Records != 5 || o.LockedSeconds == nil || len(o.Mend) != 3 {
		t.Errorf("%+v", o)
	}
	want := `[{"kind":"free-list","page":0,"offset":12,"text":"page 1 is said to be free, but is in use: the next change overwrites it"}]`
	if faults, err := json.Marshal(o.Principals.Faults); err != nil || string(faults) != want {
		t.Errorf("%s, %v, want %s", faults, err, want)
	}
}

// TestDBCheckUnlocked is for copies without lock files and policies.
func TestDBCheckUnlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy")
	got := runAlone(t, newDBCheckCommand(), nil, "-d", path, "--no-lock")
	if got.exit != 2 || !strings.Contains(got.stderr, "no such file") {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(path, []byte(readText(t, filepath.Join(kdbFixtures, "principal.loaded"))), 0o600); err != nil {
		t.Fatal(err)
	}
	got = runAlone(t, newDBCheckCommand(), nil, "-d", path)
	if got.exit != 2 || !strings.Contains(got.stderr, "for a copy that no program uses: kprop dbcheck --no-lock -d "+path) {
		t.Errorf("%+v", got)
	}
	got = runAlone(t, newDBCheckCommand(), nil, "-d", path, "--no-lock")
	if got.exit != 0 || !strings.Contains(got.stdout, "  policies    none: the file does not exist\n") || strings.Contains(got.stdout, "locked for") {
		t.Errorf("%+v", got)
	}
}

// TestDBCheckLocked: beside readers it works, with a writer there is an end to
// the waiting.
func TestDBCheckLocked(t *testing.T) {
	path := databaseCopy(t, "principal")
	if err := os.Chmod(path+".ok", 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path+".ok", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := osutil.TryLock(f, osutil.Shared); err != nil {
		t.Fatal(err)
	}
	if got := runAlone(t, newDBCheckCommand(), nil, "-d", path); got.exit != 0 {
		t.Errorf("%+v", got)
	}
	if err := osutil.TryLock(f, osutil.Exclusive); err != nil {
		t.Fatal(err)
	}
	v := dbcheckVerb{database: path, patience: time.Millisecond}
	want := fmt.Sprintf("lock %[1]s.ok, which another program holds: it held it for more than 1ms; see which:  fuser -v %[1]s.ok %[1]s.kadm5.lock", path)
	if err := v.check(t.Context(), &dbcheckOutcome{Database: path}); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestDBCheckManyFaults shows some, and counts all; long names are cut.
func TestDBCheckManyFaults(t *testing.T) {
	rep := &db2.CheckReport{Counts: map[db2.FaultKind]int{db2.FaultUnfindable: 1400, db2.FaultOrder: 3}, Leaked: 12}
	for i := range db2.MaxFaults {
		rep.Faults = append(rep.Faults, db2.Fault{Kind: db2.FaultUnfindable, Page: uint32(i), Record: strings.Repeat("x", 3000), Text: "is lost\n"})
	}
	for i := range uint32(12) {
		rep.LeakedPages = append(rep.LeakedPages, 100+i)
	}
	var b strings.Builder
	printFaults(&b, "db", rep)
	lines := strings.Split(b.String(), "\n")
	if len(lines) != shownFaults+3 {
		t.Fatalf("%d lines: %s", len(lines), b.String())
	}
	for i, want := range map[int]string{
		1:  "  db: page 1, byte 0, \"" + strings.Repeat("x", 100) + "\"... of 3000 bytes: is lost\\x0a",
		50: "  and 1353 faults more; in all 1400 unfindable, 3 order (--json names up to 1000)",
		51: "  db: 12 pages in nobody's use (100 101 102 103 104 105 106 107 108 109 ...): harmless, and gone after the next load",
	} {
		if lines[i] != want {
			t.Errorf("line %d: %s, want %s", i, lines[i], want)
		}
	}
}

// TestDBCheckOfMIT: of a realm by its configuration, while its KDC runs.
func TestDBCheckOfMIT(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	r.Kadmin("addpol -minlength 9 long")
	t.Setenv("KRB5_CONFIG", r.Primary.Krb5Conf)
	t.Setenv("KRB5_KDC_PROFILE", r.Primary.KDCConf)
	principals := strings.Count(r.Kadmin("listprincs"), "@")
	got := runAlone(t, newDBCheckCommand(), nil, "-r", r.Name)
	if want := fmt.Sprintf("%s: good\n  principals  %d in ", r.Primary.Database, principals); got.exit != 0 || !strings.HasPrefix(got.stdout, want) {
		t.Errorf("%+v, want %s", got, want)
	}
	conf := readText(t, r.Primary.KDCConf) + "[dbmodules]\n KPROP.TEST = {\n  db_library = klmdb\n }\n"
	if err := os.WriteFile(r.Primary.KDCConf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	got = runAlone(t, newDBCheckCommand(), nil)
	if got.exit != 2 || !strings.Contains(got.stderr, "the database of KPROP.TEST is kept by klmdb, which dbcheck does not know") {
		t.Errorf("%+v", got)
	}
}
