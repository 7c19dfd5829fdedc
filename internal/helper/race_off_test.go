//go:build !race

package helper

// manyRuns is how many operations TestNothingLeaks runs.
const manyRuns = 1000
