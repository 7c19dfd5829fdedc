//go:build !race

package qr_test

// screenshots are what TestScreenshots looks at: codes in view, to percents at which the desktop is scaled.
var screenshots = map[int][]int{0: {100}, 1: {100, 150}, 3: {100, 125, 150, 200}}
