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

// outbox has the orders that were sent, a file each, named after the form. Whoever
// plants the trees reads the files that end in .json; what ends in .tmp was left
// by a program that was killed, and was never an order.
type outbox struct{ dir *os.Root }

// order is what was sent.
type order struct {
	ID      string            `json:"id"`
	Sent    time.Time         `json:"sent"`
	Answers map[string]string `json:"answers"`
}

// put keeps an order, and returns when the disk has it. Of several with one ID it
// keeps the first, and the others are no error: so whoever cannot know whether an
// order arrived puts it again.
//
// Link decides which is the first. It gives a whole file its name at one stroke,
// and fails if the name is taken, be it by another process.
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

// write makes the file of an order, and returns when the disk has it.
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

// sync returns when the disk has the names of the files. Windows cannot do that.
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

// get returns an order. The error is [fs.ErrNotExist] when it is not there.
func (o outbox) get(id string) (order, error) {
	var ord order
	data, err := o.dir.ReadFile(id + ".json")
	if err != nil {
		return ord, err
	}
	return ord, json.Unmarshal(data, &ord)
}
