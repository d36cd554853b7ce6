//go:build race

package main

// raceDetector: the programs under test are built like the test itself.
const raceDetector = true
