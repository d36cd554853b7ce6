package check

import (
	"context"
	"errors"

	"github.com/kprop/kprop/pkg/kdb"
)

const (
	nameProgram = "kdb5_util"
	nameEngine  = "engine"
)

// query is what the choice of an engine depends on.
func (f *files) query() kdb.EngineQuery {
	return kdb.EngineQuery{Want: kdb.Engine(f.engine), Realm: &f.settings, Database: f.database(), Named: f.named}
}

// checkEngines tells what will dump the database, or load into it, and looks for
// kdb5_util, which others need than that too, such as an administrator.
func (f *files) checkEngines(ctx context.Context, needed bool) {
	choose, verb := f.query().ChooseDump, "dumps the database"
	if f.receiver {
		choose, verb = f.query().ChooseLoad, "loads the database"
	}
	f.do(ctx, nameEngine, []string{nameKDCConf}, func(context.Context) []Item {
		choice, err := choose()
		var bad *kdb.EngineError
		switch {
		case errors.As(err, &bad):
			return failItem(bad.Problem(), bad.Mend)
		case choice.Reason != "":
			return okItem("%s %s: %s", choice.Engine, verb, choice.Reason)
		}
		needed = false
		return okItem("%s %s", choice.Engine, verb)
	})
	f.do(ctx, nameProgram, nil, func(context.Context) []Item { return checkProgram(f.util, needed) })
}
