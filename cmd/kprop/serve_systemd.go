package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/schedule"
)

// notify tells systemd; without it, nothing happens.
func notify(lines ...string) { _, _ = systemd.SdNotify(false, strings.Join(lines, "\n")) }

func notifyReady() { notify(systemd.SdNotifyReady) }

// notifyReloading follows sd_notify(3): the time tells systemd which of several
// reloads the following READY=1 ends.
func notifyReloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	notify(systemd.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// statusInterval is how often "systemctl status" gets new words.
const statusInterval = 5 * time.Second

// tellSystemd says that the service is ready, how it stands, that it is alive as
// often as the watchdog wants, and that it stops.
func tellSystemd(ctx context.Context, service *schedule.Service) {
	interval := statusInterval
	watchdog, _ := systemd.SdWatchdogEnabled(false)
	if watchdog > 0 {
		interval = min(interval, watchdog/2)
	}
	notifyReady()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := ""
	for {
		if text := summary(service.Status()); text != last {
			last = text
			notify("STATUS=" + text)
		}
		if watchdog > 0 && loopsLive(service.Checks()) {
			notify(systemd.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			notify(systemd.SdNotifyStopping, "STATUS=waiting for transfers")
			return
		case <-ticker.C:
		}
	}
}

// loopsLive leaves out what a restart would not mend.
func loopsLive(checks []control.Check) bool {
	for _, c := range checks {
		if strings.HasPrefix(c.Name, "loop") && !c.OK {
			return false
		}
	}
	return true
}

// summary is the state in a line.
func summary(d *status.Document) string {
	var parts []string
	for _, realm := range d.Realms {
		current, counted := 0, 0
		failing := []string{}
		for _, r := range realm.Replicas {
			switch r.State {
			case status.Disabled, status.Paused:
				continue
			case status.Current:
				current++
			case status.Failing:
				failing = append(failing, r.Name)
			}
			counted++
		}
		text := fmt.Sprintf("%s: %d of %d replicas current", realm.Name, current, counted)
		if n := len(failing); n > 3 {
			text += fmt.Sprintf(", %d failing", n)
		} else if n > 0 {
			text += ", failing: " + strings.Join(failing, " ")
		}
		if realm.Error != "" {
			text += ", no dump: " + realm.Error
		}
		parts = append(parts, text)
	}
	if d.ConfigError != "" {
		parts = append(parts, "the new configuration is refused")
	}
	return strings.ReplaceAll(strings.Join(parts, "; "), "\n", " ")
}
