// Package metrics shows the state of kprop serve to Prometheus.
//
// One scrape is one status.Document: its values belong together. Every time is
// in seconds since 1970, and 0 where there is none yet, so that a rule can ask
// for it; every duration is in seconds.
package metrics

import (
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kprop/kprop/internal/status"
)

// maxScrapes is how many are answered at once; more get 503.
const maxScrapes = 4

// Metrics is a registry of its own. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
}

// New makes Metrics of the documents that get returns, one for each scrape.
// Get is called from several goroutines, and the document may not change
// afterwards. It may be nil: then there are only the metrics of the process.
func New(get func() *status.Document) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(
		newCollector(get),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return &Metrics{registry: r, handler: promhttp.HandlerFor(r, promhttp.HandlerOpts{
		// One odd value shall not hide all others.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})}
}

// Handler serves the metrics in the text formats of Prometheus.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Names are the metrics of kprop, sorted. A summary stands for NAME_sum and
// NAME_count.
func Names() []string { return slices.Sorted(maps.Keys(Help())) }

// Help has the help text of each of Names.
func Help() map[string]string {
	help := map[string]string{}
	for _, f := range families() {
		help[f.name] = f.help
	}
	return help
}
