//go:build race

package qr_test

// screenshots are fewer here: the race detector takes ten times as long. make test also runs this package without it.
var screenshots = map[int][]int{3: {125}}
