package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// errUnknown says that there is no volume or snapshot with the id.
var errUnknown = errors.New("not found")

// record is what is known of a volume or snapshot. It lies beside the data; both appear with one rename.
type record struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Capacity int64     `json:"capacity"` // bytes
	Source   string    `json:"source"`   // of a volume: the snapshot it was made from; of a snapshot: its volume
	Created  time.Time `json:"created"`
	ReadyAt  time.Time `json:"readyAt"` // of a snapshot
}

// shelf is a folder of records with their data: <root>/<id>/record.json and <root>/<id>/data/.
type shelf struct {
	root, prefix string
	ids          *regexp.Regexp
}

// store holds all volumes and snapshots. One call changes it at a time.
type store struct {
	sync.Mutex
	volumes, snapshots shelf
}

func openStore(root string) (*store, error) {
	s := &store{
		volumes:   newShelf(filepath.Join(root, "volumes"), "vol"),
		snapshots: newShelf(filepath.Join(root, "snapshots"), "snap"),
	}
	for _, shelf := range []shelf{s.volumes, s.snapshots} {
		if err := os.MkdirAll(shelf.root, 0o755); err != nil {
			return nil, err
		}
		unfinished, err := filepath.Glob(filepath.Join(shelf.root, ".new-*"))
		if err != nil {
			return nil, err
		}
		for _, folder := range unfinished {
			if err := os.RemoveAll(folder); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func newShelf(root, prefix string) shelf {
	return shelf{root: root, prefix: prefix, ids: regexp.MustCompile("^" + prefix + "-[0-9a-f]{32}$")}
}

// id follows from the name alone, so a call that is repeated finds what the first one made.
func (s shelf) id(name string) string {
	return fmt.Sprintf("%s-%x", s.prefix, sha256.Sum256([]byte(name)))[:len(s.prefix)+33]
}

func (s shelf) data(id string) string { return filepath.Join(s.root, id, "data") }

// get returns errUnknown for an id that was never given, whatever it looks like.
func (s shelf) get(id string) (record, error) {
	var found record
	if !s.ids.MatchString(id) {
		return found, errUnknown
	}
	text, err := os.ReadFile(filepath.Join(s.root, id, "record.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return found, errUnknown
	}
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(text, &found)
}

// put makes a new entry; its data is a copy of the folder from, or empty when from is "". All or nothing.
func (s shelf) put(entry record, from string, alter func(folder string) error) error {
	work := filepath.Join(s.root, ".new-"+entry.ID)
	data := filepath.Join(work, "data")
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o777); err != nil {
		return err
	}
	// any user of a pod may write to a fresh volume, whatever our umask is
	if err := os.Chmod(data, 0o777); err != nil {
		return err
	}
	if from != "" {
		if out, err := exec.Command("cp", "-a", "--reflink=auto", from+"/.", data).CombinedOutput(); err != nil {
			return fmt.Errorf("copying %s: %w: %s", from, err, strings.TrimSpace(string(out)))
		}
	}
	if err := alter(data); err != nil {
		return err
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "record.json"), text, 0o600); err != nil {
		return err
	}
	return os.Rename(work, filepath.Join(s.root, entry.ID))
}

// update writes the record of an entry that is there.
func (s shelf) update(entry record) error {
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	fresh := filepath.Join(s.root, entry.ID, "record.new")
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, filepath.Join(s.root, entry.ID, "record.json"))
}

// remove is content when there is nothing to remove.
func (s shelf) remove(id string) error {
	if !s.ids.MatchString(id) {
		return nil
	}
	return os.RemoveAll(filepath.Join(s.root, id))
}

// list returns all entries by id.
func (s shelf) list() ([]record, error) {
	folders, err := os.ReadDir(s.root)
	if err != nil {
		return nil, err
	}
	var entries []record
	for _, folder := range folders {
		entry, err := s.get(folder.Name())
		if errors.Is(err, errUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// unaltered leaves a copy as it is.
func unaltered(string) error { return nil }

// tearApart removes the second half of a folder's files, by path, and so makes a torn backup.
func tearApart(folder string) error {
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, file := range files[len(files)/2:] {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}
