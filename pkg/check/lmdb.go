package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

const nameLMDB = "LMDB"

// checkLMDB says whether kdb5_util could load a database like the present one
// into LMDB: a load that fails deletes the database (reference kdb-lmdb.md 5.3).
func (f *files) checkLMDB(ctx context.Context) []Item {
	items := f.checkSpareCopy()
	d := f.database()
	needs, what, err := f.lmdbNeeds(ctx)
	if err == nil && what == "" {
		return append(okItem("mapsize is %d MiB; how much the realm needs is not known yet", f.settings.MapSize), items...)
	}
	settings := lmdb.Settings(&f.settings)
	settings.Keep = true
	var verdict *lmdb.Verdict
	if err == nil {
		verdict, err = lmdb.CheckLoad(ctx, d, needs, settings)
	}
	switch {
	case ctx.Err() != nil:
		return append(okItem("%s is too large to look into it within %v", d, patience), items...)
	case verdict == nil:
		return append(failItem(fmt.Sprintf("what a load would need is not known: %v", err),
			"if a file is damaged: stop krb5kdc and kadmind, move "+d+".mdb and "+d+".lockout.mdb away with their -lock files, propagate again"), items...)
	}
	for _, found := range verdict.Findings {
		item := warnItem(found.What, found.Mend)
		if found.Fatal {
			item = failItem(found.What, found.Mend)
		}
		items = append(items, item...)
	}
	if len(items) > 0 {
		return items
	}
	need, have := verdict.Main.MiB()
	return okItem("a load of %s needs up to %d MiB of the %d MiB that mapsize allows, old and new pages together", what, need, have)
}

// lmdbNeeds is what the dump that was received last needs, or what is in the
// database now; what says which, and is empty without either.
func (f *files) lmdbNeeds(ctx context.Context) (n lmdb.Needs, what string, err error) {
	size, err := lmdb.PageSize(f.database())
	if err != nil {
		return n, "", err
	}
	if file, err := openRegular(f.dump); err == nil {
		defer file.Close()
		if n, err = lmdb.Size(patient{ctx, file}, size); err == nil {
			return n, f.dump, nil
		}
	}
	err = lmdb.View(ctx, f.database(), func(r *lmdb.Realm) (err error) {
		n, err = r.Needs()
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return n, "", nil
	}
	return n, f.database(), err
}

// checkSpareCopy looks for what a load has left of which kpropd did not see the
// end.
func (f *files) checkSpareCopy() []Item {
	d := f.database()
	if !lmdb.Spare(d) {
		return nil
	}
	copied := lmdb.SpareFiles(d)[1]
	item := warnItem("a load has left a copy of the database, full of keys: "+copied,
		"if no propagation is under way:  propagate again, or systemctl restart kpropd, which puts it in order")
	if _, err := os.Stat(lmdb.Files(d)[0]); errors.Is(err, fs.ErrNotExist) {
		item[0].Verdict = Fail
		item[0].Text = fmt.Sprintf("kdb5_util has deleted the database %s, and its copy %s was not put back", d, copied)
		item[0].Remedy = append(item[0].Remedy, "systemctl restart krb5-kdc    (Red Hat: krb5kdc)")
	}
	return item
}

// readLMDB is readLive for LMDB. A kdb5_util that is broken off while it reads
// would leave a mark in the lock file, after which the database only grows
// (reference kdb-lmdb.md 2).
func (h *host) readLMDB(ctx context.Context) []Item {
	var report *dump.Report
	err := lmdb.View(ctx, h.settings.DatabaseName, func(r *lmdb.Realm) error {
		v := dump.NewVerifier(dump.VerifyOptions{Realm: h.realm, MasterKeyName: h.settings.MasterKeyName, SampleSize: -1})
		if err := r.Dump(v, dump.Header{Version: dump.Version7}); err != nil {
			return err
		}
		var err error
		report, err = v.Close()
		return err
	})
	if err != nil {
		return failItem(fmt.Sprintf("the database is not whole: %v", err), mendLive)
	}
	return h.wholeLive(report)
}
