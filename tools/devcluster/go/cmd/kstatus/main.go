// Command kstatus prints what kstatus, the library by which helm, Flux and others tell whether an object is done,
// makes of objects: reads JSON objects from standard input, one after the other, and answers each with one line of
// status, a tab, and the message.
//
//	kubectl get tsys demo -o json | kstatus     Current	Resource is Ready
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	if err := answer(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func answer(in io.Reader, to io.Writer) error {
	out := bufio.NewWriter(to)
	defer out.Flush()
	objects := json.NewDecoder(in)
	for number := 1; ; number++ {
		var raw json.RawMessage
		if err := objects.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
		found, err := status.Compute(&object)
		if err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
		fmt.Fprintf(out, "%s\t%s\n", found.Status, strings.ReplaceAll(found.Message, "\n", " "))
	}
}
