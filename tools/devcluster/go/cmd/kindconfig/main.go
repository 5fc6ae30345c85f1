// Command kindconfig reads a kind configuration with kind's own types and refuses fields that kind does
// not know. It prints a line about the nodes, so that a test sees what was understood.
package main

import (
	"bytes"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kindconfig FILE")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "kindconfig: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var cluster v1alpha4.Cluster
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cluster); err != nil {
		return err
	}
	if cluster.Kind != "Cluster" || cluster.APIVersion != "kind.x-k8s.io/v1alpha4" {
		return fmt.Errorf("kind is %q and apiVersion %q; want Cluster and kind.x-k8s.io/v1alpha4",
			cluster.Kind, cluster.APIVersion)
	}
	v1alpha4.SetDefaultsCluster(&cluster)
	for _, node := range cluster.Nodes {
		fmt.Printf("node %s: %s, %d port mappings, %d mounts\n", node.Role, node.Image,
			len(node.ExtraPortMappings), len(node.ExtraMounts))
	}
	return nil
}
