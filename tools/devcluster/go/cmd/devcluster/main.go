// Command devcluster is every process of a small Kubernetes cluster in one program: the first argument
// picks the process, the rest are that process's own arguments. One program links the shared libraries
// once, which makes it a fifth of the size of the separate programs and much quicker to build.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	_ "time/tzdata" // CronJobs name time zones; only upstream's own mains embed the table

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// programs maps the first argument to what runs; os.Args[0] is already the program's own name.
var programs = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"coredns":                 runCoreDNS,
	"kube-apiserver":          func() { run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { run(controllers.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { run(scheduler.NewSchedulerCommand()) },
	"kubelet":                 func() { run(kubelet.NewKubeletCommand(context.Background())) },
	"kube-proxy":              func() { run(proxy.NewProxyCommand()) },
	"kubectl":                 func() { run(kubectl.NewDefaultKubectlCommand()) },
	"stop-pods":               func() { run(newStopPodsCommand()) },
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// runCoreDNS fixes the order in which the few linked plugins see a query.
func runCoreDNS() {
	dnsserver.Directives = []string{"errors", "health", "ready", "cache", "kubernetes"}
	coremain.Run()
}

func main() {
	names := strings.Join(slices.Sorted(maps.Keys(programs)), ", ")
	if len(os.Args) < 2 {
		fmt.Fprintf(os.Stderr, "usage: devcluster PROGRAM [ARGUMENTS]; PROGRAM is one of: %s\n", names)
		os.Exit(2)
	}
	program, known := programs[os.Args[1]]
	if !known {
		fmt.Fprintf(os.Stderr, "devcluster: there is no program %q; it is one of: %s\n", os.Args[1], names)
		os.Exit(2)
	}
	os.Args = os.Args[1:]
	program()
}
