package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var mount = []*csi.VolumeCapability{{
	AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
}}

// newController returns a controller at a fixed time, which the returned pointer moves.
func newController(t *testing.T, faults faults) (*controller, *time.Time) {
	t.Helper()
	store, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &controller{store: store, faults: faults, now: func() time.Time { return now }}, &now
}

// volumeWith returns the id of a new volume that holds the files, each with its own name inside.
func volumeWith(t *testing.T, c *controller, files ...string) string {
	t.Helper()
	reply, err := c.CreateVolume(context.Background(), &csi.CreateVolumeRequest{Name: "v", VolumeCapabilities: mount})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path := filepath.Join(c.store.volumes.data(reply.Volume.VolumeId), file)
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return reply.Volume.VolumeId
}

func snapshotOf(c *controller, volume, name string) (*csi.CreateSnapshotResponse, error) {
	return c.CreateSnapshot(context.Background(), &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: volume})
}

func restore(c *controller, snapshot, name string) (*csi.CreateVolumeResponse, error) {
	source := &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshot}
	return c.CreateVolume(context.Background(), &csi.CreateVolumeRequest{
		Name: name, VolumeCapabilities: mount,
		VolumeContentSource: &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{Snapshot: source}},
	})
}

func filesOf(t *testing.T, c *controller, volume string) []string {
	t.Helper()
	entries, err := os.ReadDir(c.store.volumes.data(volume))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestARestoredVolumeHoldsWhatTheSnapshotHeldThen(t *testing.T) {
	c, _ := newController(t, faults{})
	volume := volumeWith(t, c, "a", "b")
	snapshot, err := snapshotOf(c, volume, "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.store.volumes.data(volume), "a")); err != nil {
		t.Fatal(err)
	}
	restored, err := restore(c, snapshot.Snapshot.SnapshotId, "r")
	if err != nil {
		t.Fatal(err)
	}
	if files := filesOf(t, c, restored.Volume.VolumeId); len(files) != 2 {
		t.Fatalf("restored %v, want a and b", files)
	}
}

func TestASlowSnapshotIsReadyLaterAndNoVolumeComesFromItBefore(t *testing.T) {
	c, now := newController(t, faults{readyDelay: time.Minute})
	snapshot, err := snapshotOf(c, volumeWith(t, c), "s")
	if err != nil || snapshot.Snapshot.ReadyToUse {
		t.Fatalf("ready at once: %v %v", snapshot, err)
	}
	id := snapshot.Snapshot.SnapshotId
	if _, err := restore(c, id, "early"); status.Code(err) != codes.Unavailable {
		t.Fatalf("restored from a snapshot that is not ready: %v", err)
	}
	*now = now.Add(time.Minute)
	list, err := c.ListSnapshots(context.Background(), &csi.ListSnapshotsRequest{SnapshotId: id})
	if err != nil || !list.Entries[0].Snapshot.ReadyToUse {
		t.Fatalf("not ready after its delay: %v %v", list, err)
	}
	if _, err := restore(c, id, "late"); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheNthSnapshotFailsAndARetryMakesIt(t *testing.T) {
	c, _ := newController(t, faults{failNth: 2})
	volume := volumeWith(t, c)
	for attempt, want := range []codes.Code{codes.OK, codes.OK, codes.Internal, codes.OK} {
		// the second call asks for the first snapshot again, which is no new attempt
		name := []string{"s1", "s1", "s2", "s2"}[attempt]
		if _, err := snapshotOf(c, volume, name); status.Code(err) != want {
			t.Fatalf("call %d: %v, want %v", attempt+1, err, want)
		}
	}
}

func TestAPartialSnapshotLosesHalfOfTheFiles(t *testing.T) {
	c, _ := newController(t, faults{partial: true})
	snapshot, err := snapshotOf(c, volumeWith(t, c, "a", "b", "c", "d"), "s")
	if err != nil {
		t.Fatal(err)
	}
	restored, err := restore(c, snapshot.Snapshot.SnapshotId, "r")
	if err != nil {
		t.Fatal(err)
	}
	if files := filesOf(t, c, restored.Volume.VolumeId); len(files) != 2 || files[1] != "b" {
		t.Fatalf("restored %v, want a and b", files)
	}
}

func TestWhatAKilledDriverLeftUnfinishedIsGoneAtTheNextStart(t *testing.T) {
	root := t.TempDir()
	if _, err := openStore(root); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(root, "snapshots", ".new-snap-0")
	if err := os.MkdirAll(filepath.Join(unfinished, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := openStore(root)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := store.snapshots.list(); err != nil || len(entries) != 0 {
		t.Fatalf("listed %v, %v", entries, err)
	}
	if _, err := os.Stat(unfinished); !os.IsNotExist(err) {
		t.Fatalf("%s is still there", unfinished)
	}
}

func TestAnIDThatWasNeverGivenLeadsNowhere(t *testing.T) {
	c, _ := newController(t, faults{})
	volume := volumeWith(t, c)
	for _, id := range []string{"..", "../volumes/" + volume, "vol-", volume + "/.."} {
		if _, err := c.DeleteVolume(context.Background(), &csi.DeleteVolumeRequest{VolumeId: id}); err != nil {
			t.Fatalf("deleting %q: %v", id, err)
		}
		if _, err := snapshotOf(c, id, "s"); status.Code(err) != codes.NotFound {
			t.Fatalf("snapshot of %q: %v", id, err)
		}
	}
	if _, err := c.store.volumes.get(volume); err != nil {
		t.Fatalf("the volume is gone: %v", err)
	}
}
