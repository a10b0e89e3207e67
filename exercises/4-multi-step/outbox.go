package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"os"
	"runtime"
	"time"
)

// outbox is a directory with the orders that were sent. Each order is a file with the
// name of its form.
//
// The gardener reads the files that end in .json. A file that ends in .tmp is no order. A
// program that was killed left it behind.
type outbox struct{ dir *os.Root }

// order is an order that was sent.
type order struct {
	ID      string            `json:"id"`
	Sent    time.Time         `json:"sent"`
	Answers map[string]string `json:"answers"`
}

// put stores an order. It returns after the order is on the disk.
//
// If the outbox already has an order with this ID, put leaves that order as it is. This is
// not an error, so that a caller that does not know whether an order arrived can put it
// again.
//
// If two orders with one ID arrive at the same time, Link decides which is the first. It
// gives a complete file its name in one step. It fails if the name exists, even if
// another process made it.
func (o outbox) put(ord order) error {
	name := ord.ID + ".json"
	if _, err := o.dir.Stat(name); err == nil {
		return o.sync()
	}
	temp := rand.Text() + ".tmp"
	defer o.dir.Remove(temp)
	if err := o.write(temp, ord); err != nil {
		return err
	}
	switch err := o.dir.Link(temp, name); {
	case err == nil:
		log.Printf("order %s is in the outbox", ord.ID)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	return o.sync()
}

// write makes the file of an order. It returns after the content is on the disk.
func (o outbox) write(name string, ord order) error {
	data, err := json.MarshalIndent(ord, "", "\t")
	if err != nil {
		return err
	}
	f, err := o.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// sync returns after the names of the files are on the disk. Windows cannot sync a
// directory, so sync does nothing there.
func (o outbox) sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := o.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// get returns an order. If there is none with this ID, the error is [fs.ErrNotExist].
func (o outbox) get(id string) (order, error) {
	var ord order
	data, err := o.dir.ReadFile(id + ".json")
	if err != nil {
		return ord, err
	}
	return ord, json.Unmarshal(data, &ord)
}
