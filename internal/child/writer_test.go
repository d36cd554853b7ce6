package child

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchWriter: work ends only if nothing is written for the limit.
func TestWatchWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		ctx, w, stop := WatchWriter(t.Context(), time.Minute, &b)
		defer stop()
		for range 10 {
			time.Sleep(59 * time.Second)
			if _, err := w.Write([]byte("x")); err != nil || ctx.Err() != nil {
				t.Fatalf("%v, %v", err, ctx.Err())
			}
		}
		time.Sleep(61 * time.Second)
		var stalled *StalledError
		if !errors.As(context.Cause(ctx), &stalled) || stalled.Limit != time.Minute || b.Len() != 10 {
			t.Errorf("%v, %d bytes", context.Cause(ctx), b.Len())
		}
	})
}
