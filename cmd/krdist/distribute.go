package main

import "github.com/kprop/kprop/pkg/rdist/distfile"

// distribute brings the files to the hosts. The client that does so is not
// part of this build.
func (p *program) distribute([]distfile.Entry) int {
	p.fail("this build of krdist has no client: it reads distfiles and prints what they ask for (-n)")
	return 1
}
