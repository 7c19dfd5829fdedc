// Package archtest keeps the rules of the tree as tests: who may import whom, where C may be, and
// what every package owes its reader. Nothing imports it.
package archtest
