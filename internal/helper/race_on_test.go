//go:build race

package helper

// manyRuns is fewer here: a process with the race detector takes ten times as long to start.
const manyRuns = 200
