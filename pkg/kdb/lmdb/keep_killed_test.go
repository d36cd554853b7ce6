package lmdb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// loserEnv makes the test binary a process that keeps the database of that name
// and loses it, again and again.
const loserEnv = "LMDB_TEST_LOSER"

func TestMain(m *testing.M) {
	if d := os.Getenv(loserEnv); d != "" {
		fmt.Fprintln(os.Stderr, lose(d))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func lose(d string) error {
	ctx := context.Background()
	if err := Forget(d); err != nil {
		return err
	}
	for {
		fmt.Print("k")
		if err := Keep(ctx, d); err != nil {
			return err
		}
		fmt.Print("d")
		for _, path := range Files(d) {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			clearBytes(b)
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if _, err := f.Write(b); err != nil {
				return err
			}
			f.Close()
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		fmt.Print("r")
		if restored, err := Recover(ctx, d); err != nil || !restored {
			return fmt.Errorf("restored: %v, %w", restored, err)
		}
		if err := Forget(d); err != nil {
			return err
		}
	}
}

// TestKilledAnywhere: at whatever moment the process is killed, the database is
// put back whole.
func TestKilledAnywhere(t *testing.T) {
	d := live(t, "changed")
	want := contents(t, vector("changed.dump"))
	r := rand.New(rand.NewPCG(1, 2))
	restored := 0
	for range 40 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), loserEnv+"="+d)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It tells what it is about to do: keep, delete, or recover.
		if _, err := io.ReadFull(out, make([]byte, 1+r.IntN(6))); err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
		// When it is killed shall be random; nothing is waited for.
		time.Sleep(time.Duration(r.Int64N(int64(8 * time.Millisecond))))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if said.Len() > 0 {
			t.Fatal(said.String())
		}
		if recoverIn(t, d) {
			restored++
		}
		if !bytes.Equal(dumped(t, d), want) {
			t.Fatal("another database")
		}
		asPlaced(t, d)
		only(t, filepath.Dir(d), "principal.lockout.mdb", "principal.mdb")
	}
	if restored == 0 {
		t.Error("it was never killed while the database was gone")
	}
	t.Logf("put back %d times", restored)
}
