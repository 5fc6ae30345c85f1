// Command csidir is a CSI driver whose volumes and snapshots are plain directories of one machine. It is
// for tests: a snapshot is a copy, not a moment in time, so whoever writes to the volume must hold still
// until the snapshot has a creation time. Its switches make snapshots slow, failing or torn on purpose.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type options struct {
	root, node, socket, registration, driver string
	faults                                   faults
}

// faults are what the driver does wrong when a test asks for it.
type faults struct {
	readyDelay time.Duration // a snapshot is ready to use this long after its creation
	failNth    int           // the n-th call to create a snapshot fails; 0 for none
	partial    bool          // a snapshot holds only the first half of the files
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", "", "folder of volumes and snapshots")
	flag.StringVar(&o.node, "node", "node1", "name of this node")
	flag.StringVar(&o.driver, "driver", "hostdir.devcluster.dev", "name that storage classes give this driver")
	flag.StringVar(&o.socket, "socket", "", "path of the driver's socket")
	flag.StringVar(&o.registration, "registration", "", "path of the socket where kubelet finds the driver; none if empty")
	flag.DurationVar(&o.faults.readyDelay, "ready-delay", 0, "test switch: time until a new snapshot is ready to use")
	flag.IntVar(&o.faults.failNth, "fail-nth", 0, "test switch: which call to create a snapshot fails, counted from 1")
	flag.BoolVar(&o.faults.partial, "partial", false, "test switch: snapshots hold only the first half of the files")
	flag.Parse()
	if o.root == "" || o.socket == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "csidir: --root and --socket are needed, and no other arguments")
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "csidir:", err)
		os.Exit(1)
	}
}

// run serves until SIGINT or SIGTERM.
func run(o options) error {
	store, err := openStore(o.root)
	if err != nil {
		return err
	}
	driver := grpc.NewServer()
	csi.RegisterIdentityServer(driver, &identity{driver: o.driver})
	csi.RegisterControllerServer(driver, &controller{store: store, faults: o.faults, now: time.Now})
	csi.RegisterNodeServer(driver, &node{store: store, name: o.node})
	failed := make(chan error, 2)
	if err := serve(driver, o.socket, failed); err != nil {
		return err
	}
	defer driver.Stop()
	if o.registration != "" {
		registrar := grpc.NewServer()
		registerapi.RegisterRegistrationServer(registrar, registration{driver: o.driver, socket: o.socket})
		if err := serve(registrar, o.registration, failed); err != nil {
			return err
		}
		defer registrar.Stop()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// serve listens before it returns, so that whoever is told of the socket finds it answering.
func serve(server *grpc.Server, socket string, failed chan<- error) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() { failed <- server.Serve(listener) }()
	return nil
}

// registration tells kubelet where the driver is.
type registration struct {
	registerapi.UnimplementedRegistrationServer
	driver, socket string
}

func (r registration) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	return &registerapi.PluginInfo{
		Type:              registerapi.CSIPlugin,
		Name:              r.driver,
		Endpoint:          r.socket,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r registration) NotifyRegistrationStatus(
	_ context.Context, status *registerapi.RegistrationStatus,
) (*registerapi.RegistrationStatusResponse, error) {
	fmt.Printf("kubelet registered the driver: %t %s\n", status.PluginRegistered, status.Error)
	return &registerapi.RegistrationStatusResponse{}, nil
}
