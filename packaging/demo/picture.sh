#!/bin/sh
# Makes README's picture, docs/demo.svg, from what the demo prints in steps 2, 3 and 5. Run it after
# make build: packaging/demo/picture.sh [FILE]
set -eu
cd "$(dirname "$0")/../.."
mkdir -p docs
KEY='' bash packaging/demo/demo.sh | sed 's/\x1b\[[0-9;]*m//g; s,/tmp/fob-demo\.[A-Za-z0-9]*,/tmp/fob-demo,g' | awk '
	function escape(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); return s }
	/^[0-9]\./ { shown = $0 ~ /^[235]/ }
	/^That was/ { shown = 0 }
	shown { line[++n] = $0; if (length($0) > width) width = length($0) }
	END {
		while (line[n] == "") n--
		w = width * 7.9 + 40; h = n * 19 + 36
		printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" aria-label=\"What make demo prints\">\n", w, h, w
		printf "<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#1c2128\"/>\n", w, h
		print "<g font-family=\"ui-monospace,DejaVu Sans Mono,Menlo,monospace\" font-size=\"13\" fill=\"#c9d1d9\" xml:space=\"preserve\" style=\"white-space:pre\">"
		for (i = 1; i <= n; i++) {
			style = ""
			if (line[i] ~ /^[0-9]\./) style = " font-weight=\"bold\" fill=\"#ffffff\""
			else if (line[i] ~ /^ +\$ /) style = " fill=\"#79c0ff\""
			else if (line[i] ~ /finger touches/) style = " fill=\"#e3b341\""
			else if (line[i] ~ /^   approved/) style = " font-weight=\"bold\" fill=\"#56d364\""
			else if (line[i] ~ /^   denied/) style = " font-weight=\"bold\" fill=\"#ff7b72\""
			if (line[i] != "") {
				indent = match(line[i], /[^ ]/) - 1
				printf "<text x=\"%d\" y=\"%d\"%s>%s</text>\n", 20 + indent * 7.8, i * 19 + 10, style, escape(substr(line[i], indent + 1))
			}
		}
		print "</g></svg>"
	}' >"${1:-docs/demo.svg}"
