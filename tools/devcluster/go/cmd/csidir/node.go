package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type node struct {
	csi.UnimplementedNodeServer
	store *store
	name  string
}

func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (n *node) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	rpc := &csi.NodeServiceCapability_RPC{Type: csi.NodeServiceCapability_RPC_GET_VOLUME_STATS}
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{
		{Type: &csi.NodeServiceCapability_Rpc{Rpc: rpc}},
	}}, nil
}

// NodePublishVolume binds the volume's directory to the place where the pod will see it.
func (n *node) NodePublishVolume(
	_ context.Context, request *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	switch {
	case request.VolumeId == "":
		return nil, missing("volume_id")
	case request.TargetPath == "":
		return nil, missing("target_path")
	case request.VolumeCapability == nil:
		return nil, missing("volume_capability")
	}
	if err := checkCapabilities([]*csi.VolumeCapability{request.VolumeCapability}); err != nil {
		return nil, err
	}
	if _, err := n.store.volumes.get(request.VolumeId); err != nil {
		return nil, failure(err)
	}
	mounted, err := isMountPoint(request.TargetPath)
	if err != nil {
		return nil, failure(err)
	}
	if !mounted {
		if err := bind(n.store.volumes.data(request.VolumeId), request.TargetPath, request.Readonly); err != nil {
			return nil, failure(err)
		}
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func bind(source, target string, readonly bool) error {
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return &os.PathError{Op: "bind mount", Path: target, Err: err}
	}
	if !readonly {
		return nil
	}
	// Linux takes the read-only flag of a bind mount only in a second step
	err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	if err == nil {
		return nil
	}
	return errors.Join(&os.PathError{Op: "read-only remount", Path: target, Err: err}, unix.Unmount(target, 0))
}

func (n *node) NodeUnpublishVolume(
	_ context.Context, request *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	switch {
	case request.VolumeId == "":
		return nil, missing("volume_id")
	case request.TargetPath == "":
		return nil, missing("target_path")
	}
	mounted, err := isMountPoint(request.TargetPath)
	if err != nil {
		return nil, failure(err)
	}
	if mounted {
		if err := unix.Unmount(request.TargetPath, unix.MNT_DETACH); err != nil {
			return nil, failure(&os.PathError{Op: "unmount", Path: request.TargetPath, Err: err})
		}
	}
	// only an empty folder may go: were the volume still mounted, this must not empty it
	if err := os.Remove(request.TargetPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failure(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// NodeGetVolumeStats reports the file system that holds the directories: they share its space.
func (n *node) NodeGetVolumeStats(
	_ context.Context, request *csi.NodeGetVolumeStatsRequest,
) (*csi.NodeGetVolumeStatsResponse, error) {
	switch {
	case request.VolumeId == "":
		return nil, missing("volume_id")
	case request.VolumePath == "":
		return nil, missing("volume_path")
	}
	if _, err := n.store.volumes.get(request.VolumeId); err != nil {
		return nil, failure(err)
	}
	mounted, err := isMountPoint(request.VolumePath)
	if err != nil {
		return nil, failure(err)
	}
	if !mounted {
		return nil, status.Errorf(codes.NotFound, "volume_path: nothing is mounted at %s", request.VolumePath)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(request.VolumePath, &fs); err != nil {
		return nil, failure(&os.PathError{Op: "statfs", Path: request.VolumePath, Err: err})
	}
	block := int64(fs.Bsize)
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{{
		Unit:      csi.VolumeUsage_BYTES,
		Total:     int64(fs.Blocks) * block,
		Available: int64(fs.Bavail) * block,
		Used:      int64(fs.Blocks-fs.Bfree) * block,
	}, {
		Unit:      csi.VolumeUsage_INODES,
		Total:     int64(fs.Files),
		Available: int64(fs.Ffree),
		Used:      int64(fs.Files - fs.Ffree),
	}}}, nil
}

// isMountPoint reads the kernel's table: a bind mount on the same file system shows in no other way.
func isMountPoint(path string) (bool, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && unescaped(fields[4]) == path {
			return true, nil
		}
	}
	return false, nil
}

// unescaped undoes how the kernel writes blanks in its tables.
func unescaped(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
