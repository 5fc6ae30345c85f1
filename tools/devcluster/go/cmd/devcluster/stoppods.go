package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spf13/cobra"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	cri "k8s.io/cri-client/pkg"
)

// newStopPodsCommand makes the command that ends every pod of one container runtime and removes what
// the runtime made for them: tasks, network namespaces, address leases and mounts. It asks the runtime
// itself, so that nothing has to be found and taken apart from the outside. Kubelet must be down, or it
// would start the pods again.
func newStopPodsCommand() *cobra.Command {
	var endpoint string
	var grace, deadline time.Duration
	command := &cobra.Command{
		Use:           "stop-pods",
		Short:         "Stop and remove every pod of a container runtime",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: false,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), deadline)
			defer cancel()
			runtime, err := cri.NewRemoteRuntimeService(ctx, endpoint, deadline, nil, false)
			if err != nil {
				return err
			}
			return stopPods(ctx, runtime, grace)
		},
	}
	command.Flags().StringVar(&endpoint, "endpoint", "", "the runtime's socket, unix://PATH")
	command.Flags().DurationVar(&grace, "grace", 5*time.Second, "time a container has to end by itself")
	command.Flags().DurationVar(&deadline, "deadline", 60*time.Second, "time for all of it")
	_ = command.MarkFlagRequired("endpoint")
	return command
}

func stopPods(ctx context.Context, runtime internalapi.RuntimeService, grace time.Duration) error {
	containers, err := runtime.ListContainers(ctx, nil)
	if err != nil {
		return err
	}
	// A container that does not end is killed by the runtime after its grace; its sandbox goes next.
	_ = inParallel(containers, func(container *runtimeapi.Container) error {
		return runtime.StopContainer(ctx, container.Id, int64(grace.Seconds()))
	})
	sandboxes, err := runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		return err
	}
	return inParallel(sandboxes, func(sandbox *runtimeapi.PodSandbox) error {
		if err := runtime.StopPodSandbox(ctx, sandbox.Id); err != nil {
			return err
		}
		return runtime.RemovePodSandbox(ctx, sandbox.Id)
	})
}

// inParallel calls work for every item at once and returns all errors joined.
func inParallel[T any](items []T, work func(T) error) error {
	failures := make([]error, len(items))
	var group sync.WaitGroup
	for i, item := range items {
		group.Go(func() { failures[i] = work(item) })
	}
	group.Wait()
	return errors.Join(failures...)
}
