package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unicode/utf8"

	"example.com/sessions/internal/session"
)

// The file of a record is a checksum, everything but the data in a line of JSON,
// and the data as they are:
//
//	session 1 2f7c…             the version of this format, SHA-256 of all that follows
//	{"ID":"4f0c…","Data":null,"Owner":"ada","Created":"2026-…","Version":3,…}
//	{"visits":3}

// encode returns the file of a record.
func encode(rec session.Record) ([]byte, error) {
	if !utf8.ValidString(rec.Owner) {
		return nil, errors.New("the owner is not valid UTF-8") // JSON would make it another's
	}
	data := rec.Data
	rec.Data = nil
	line, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	body := append(append(line, '\n'), data...)
	return append(checksum(body), body...), nil
}

// decode returns the record of a file, or [session.ErrCorrupt]. The checksum is
// compared as text, so that an a that became an A is told too; and the ID, so that
// a copy under another name opens nothing.
func decode(id string, file []byte) (session.Record, error) {
	var rec session.Record
	end := bytes.IndexByte(file, '\n') + 1
	if !bytes.Equal(file[:end], checksum(file[end:])) {
		return rec, fmt.Errorf("%w: wrong checksum", session.ErrCorrupt)
	}
	line, data, _ := bytes.Cut(file[end:], []byte("\n"))
	if err := json.Unmarshal(line, &rec); err != nil || rec.ID != id {
		return session.Record{}, fmt.Errorf("%w: not the record of this name", session.ErrCorrupt)
	}
	rec.Data = data
	return rec, nil
}

// checksum returns the first line of a file.
func checksum(body []byte) []byte {
	return fmt.Appendf(nil, "session 1 %x\n", sha256.Sum256(body))
}

// read returns a record, whether or not it has expired.
func read(root *os.Root, id string) (session.Record, error) {
	file, err := readFile(root, recordFile(id))
	if errors.Is(err, fs.ErrNotExist) {
		return session.Record{}, session.ErrNotFound
	}
	if err != nil {
		return session.Record{}, err
	}
	return decode(id, file)
}

// readFile reads a file and nothing else: a symbolic link may lead to another
// file, and a FIFO would have us wait for ever. Lstat tells them; nonblock and the
// second look are for what comes between Lstat and OpenFile.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a file", session.ErrCorrupt)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err = f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a file", session.ErrCorrupt)
	}
	content := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	_, err = content.ReadFrom(f)
	return content.Bytes(), err
}

// write makes the file of a record, and returns when the disk has it.
func write(root *os.Root, name string, rec session.Record) error {
	content, err := encode(rec)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
