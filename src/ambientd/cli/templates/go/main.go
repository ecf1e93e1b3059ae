// Turns letters into upper case: standard input is the task's input, standard output its output,
// standard error its log.
package main

import (
	"bytes"
	"io"
	"os"
)

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		os.Exit(1)
	}
	if _, err := os.Stdout.Write(bytes.ToUpper(input)); err != nil {
		os.Exit(1)
	}
}
