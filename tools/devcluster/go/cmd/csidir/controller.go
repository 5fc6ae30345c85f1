package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	defaultCapacity = 1 << 30 // bytes
	largestCapacity = 1 << 50 // bytes
)

type controller struct {
	csi.UnimplementedControllerServer
	store  *store
	faults faults
	now    func() time.Time

	attempts int // calls to create a new snapshot, guarded by the store's lock
}

func (c *controller) ControllerGetCapabilities(
	context.Context, *csi.ControllerGetCapabilitiesRequest,
) (*csi.ControllerGetCapabilitiesResponse, error) {
	reply := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	} {
		rpc := &csi.ControllerServiceCapability_RPC{Type: kind}
		reply.Capabilities = append(reply.Capabilities,
			&csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{Rpc: rpc}})
	}
	return reply, nil
}

func (c *controller) CreateVolume(
	_ context.Context, request *csi.CreateVolumeRequest,
) (*csi.CreateVolumeResponse, error) {
	if request.Name == "" {
		return nil, missing("name")
	}
	if err := checkCapabilities(request.VolumeCapabilities); err != nil {
		return nil, err
	}
	capacity, err := capacityFor(request.CapacityRange)
	if err != nil {
		return nil, err
	}
	source := request.GetVolumeContentSource().GetSnapshot().GetSnapshotId()
	if request.VolumeContentSource != nil && source == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_content_source: only a snapshot can be a source")
	}
	c.store.Lock()
	defer c.store.Unlock()
	id := c.store.volumes.id(request.Name)
	volume, err := c.store.volumes.get(id)
	switch {
	case err == nil:
		if !fits(volume.Capacity, request.CapacityRange) || volume.Source != source {
			return nil, status.Errorf(codes.AlreadyExists,
				"volume %q exists with %d bytes and source %q", request.Name, volume.Capacity, volume.Source)
		}
	case errors.Is(err, errUnknown):
		volume = record{ID: id, Name: request.Name, Capacity: capacity, Source: source, Created: c.now().UTC()}
		if err := c.makeVolume(volume); err != nil {
			return nil, err
		}
	default:
		return nil, failure(err)
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId: id, CapacityBytes: volume.Capacity, ContentSource: request.VolumeContentSource,
	}}, nil
}

func (c *controller) makeVolume(volume record) error {
	from := ""
	if volume.Source != "" {
		snapshot, err := c.store.snapshots.get(volume.Source)
		switch {
		case err != nil:
			return failure(err)
		case c.now().Before(snapshot.ReadyAt):
			return status.Errorf(codes.Unavailable, "snapshot %s is not ready to use", snapshot.ID)
		case volume.Capacity < snapshot.Capacity:
			return status.Errorf(codes.OutOfRange,
				"%d bytes are asked for, the snapshot needs %d", volume.Capacity, snapshot.Capacity)
		}
		from = c.store.snapshots.data(snapshot.ID)
	}
	if err := c.store.volumes.put(volume, from, unaltered); err != nil {
		return failure(err)
	}
	return nil
}

func (c *controller) DeleteVolume(
	_ context.Context, request *csi.DeleteVolumeRequest,
) (*csi.DeleteVolumeResponse, error) {
	if request.VolumeId == "" {
		return nil, missing("volume_id")
	}
	c.store.Lock()
	defer c.store.Unlock()
	if err := c.store.volumes.remove(request.VolumeId); err != nil {
		return nil, failure(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ControllerExpandVolume only writes the new size down: a directory has no size of its own.
func (c *controller) ControllerExpandVolume(
	_ context.Context, request *csi.ControllerExpandVolumeRequest,
) (*csi.ControllerExpandVolumeResponse, error) {
	if request.VolumeId == "" {
		return nil, missing("volume_id")
	}
	if request.CapacityRange == nil {
		return nil, missing("capacity_range")
	}
	capacity, err := capacityFor(request.CapacityRange)
	if err != nil {
		return nil, err
	}
	c.store.Lock()
	defer c.store.Unlock()
	volume, err := c.store.volumes.get(request.VolumeId)
	if err != nil {
		return nil, failure(err)
	}
	if capacity > volume.Capacity {
		volume.Capacity = capacity
		if err := c.store.volumes.update(volume); err != nil {
			return nil, failure(err)
		}
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: volume.Capacity}, nil
}

func (c *controller) ValidateVolumeCapabilities(
	_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest,
) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.VolumeId == "" {
		return nil, missing("volume_id")
	}
	if len(request.VolumeCapabilities) == 0 {
		return nil, missing("volume_capabilities")
	}
	if _, err := c.store.volumes.get(request.VolumeId); err != nil {
		return nil, failure(err)
	}
	if err := checkCapabilities(request.VolumeCapabilities); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
			VolumeContext:      request.VolumeContext,
			VolumeCapabilities: request.VolumeCapabilities,
			Parameters:         request.Parameters,
		},
	}, nil
}

func (c *controller) CreateSnapshot(
	_ context.Context, request *csi.CreateSnapshotRequest,
) (*csi.CreateSnapshotResponse, error) {
	if request.Name == "" {
		return nil, missing("name")
	}
	if request.SourceVolumeId == "" {
		return nil, missing("source_volume_id")
	}
	c.store.Lock()
	defer c.store.Unlock()
	id := c.store.snapshots.id(request.Name)
	snapshot, err := c.store.snapshots.get(id)
	switch {
	case err == nil:
		if snapshot.Source != request.SourceVolumeId {
			return nil, status.Errorf(codes.AlreadyExists,
				"snapshot %q exists of volume %s", request.Name, snapshot.Source)
		}
	case errors.Is(err, errUnknown):
		if snapshot, err = c.makeSnapshot(id, request); err != nil {
			return nil, err
		}
	default:
		return nil, failure(err)
	}
	return &csi.CreateSnapshotResponse{Snapshot: c.described(snapshot)}, nil
}

func (c *controller) makeSnapshot(id string, request *csi.CreateSnapshotRequest) (record, error) {
	volume, err := c.store.volumes.get(request.SourceVolumeId)
	if err != nil {
		return record{}, failure(err)
	}
	c.attempts++
	if c.attempts == c.faults.failNth {
		return record{}, status.Errorf(codes.Internal, "snapshot %d fails because --fail-nth says so", c.attempts)
	}
	alter := unaltered
	if c.faults.partial {
		alter = tearApart
	}
	created := c.now().UTC()
	snapshot := record{
		ID: id, Name: request.Name, Capacity: volume.Capacity, Source: volume.ID,
		Created: created, ReadyAt: created.Add(c.faults.readyDelay),
	}
	if err := c.store.snapshots.put(snapshot, c.store.volumes.data(volume.ID), alter); err != nil {
		return record{}, failure(err)
	}
	return snapshot, nil
}

func (c *controller) DeleteSnapshot(
	_ context.Context, request *csi.DeleteSnapshotRequest,
) (*csi.DeleteSnapshotResponse, error) {
	if request.SnapshotId == "" {
		return nil, missing("snapshot_id")
	}
	c.store.Lock()
	defer c.store.Unlock()
	if err := c.store.snapshots.remove(request.SnapshotId); err != nil {
		return nil, failure(err)
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// ListSnapshots hands out pages; the token of a page is the number of entries before it.
func (c *controller) ListSnapshots(
	_ context.Context, request *csi.ListSnapshotsRequest,
) (*csi.ListSnapshotsResponse, error) {
	if request.MaxEntries < 0 {
		return nil, status.Error(codes.InvalidArgument, "max_entries: must not be negative")
	}
	c.store.Lock()
	snapshots, err := c.store.snapshots.list()
	c.store.Unlock()
	if err != nil {
		return nil, failure(err)
	}
	var matching []*csi.ListSnapshotsResponse_Entry
	for _, snapshot := range snapshots {
		if (request.SnapshotId == "" || request.SnapshotId == snapshot.ID) &&
			(request.SourceVolumeId == "" || request.SourceVolumeId == snapshot.Source) {
			matching = append(matching, &csi.ListSnapshotsResponse_Entry{Snapshot: c.described(snapshot)})
		}
	}
	start := 0
	if request.StartingToken != "" {
		start, err = strconv.Atoi(request.StartingToken)
		if err != nil || start < 0 || start > len(matching) {
			return nil, status.Errorf(codes.Aborted, "starting_token: %q was not handed out", request.StartingToken)
		}
	}
	end, next := len(matching), ""
	if request.MaxEntries > 0 && start+int(request.MaxEntries) < end {
		end = start + int(request.MaxEntries)
		next = strconv.Itoa(end)
	}
	return &csi.ListSnapshotsResponse{Entries: matching[start:end], NextToken: next}, nil
}

func (c *controller) described(snapshot record) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId:     snapshot.ID,
		SourceVolumeId: snapshot.Source,
		SizeBytes:      snapshot.Capacity,
		CreationTime:   timestamppb.New(snapshot.Created),
		ReadyToUse:     !c.now().Before(snapshot.ReadyAt),
	}
}

// capacityFor returns the size in bytes of a new volume.
func capacityFor(wanted *csi.CapacityRange) (int64, error) {
	required, limit := wanted.GetRequiredBytes(), wanted.GetLimitBytes()
	switch {
	case required < 0 || limit < 0 || (limit > 0 && limit < required):
		return 0, status.Errorf(codes.OutOfRange, "capacity_range: %d to %d bytes is no range", required, limit)
	case required > largestCapacity:
		return 0, status.Errorf(codes.OutOfRange, "capacity_range: more than %d bytes", int64(largestCapacity))
	case required > 0:
		return required, nil
	case limit > 0:
		return min(limit, defaultCapacity), nil
	}
	return defaultCapacity, nil
}

func fits(capacity int64, wanted *csi.CapacityRange) bool {
	return capacity >= wanted.GetRequiredBytes() && (wanted.GetLimitBytes() == 0 || capacity <= wanted.GetLimitBytes())
}

func checkCapabilities(capabilities []*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return missing("volume_capabilities")
	}
	for _, capability := range capabilities {
		if capability.GetMount() == nil {
			return status.Error(codes.InvalidArgument, "volume_capability: a directory can only be mounted")
		}
	}
	return nil
}

func missing(field string) error {
	return status.Errorf(codes.InvalidArgument, "%s: is missing", field)
}

// failure turns an error of the store into one with a gRPC code.
func failure(err error) error {
	if errors.Is(err, errUnknown) {
		return status.Error(codes.NotFound, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}
