package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"example.com/sessions/internal/session"
)

// The file of a record is two lines of text and the data. The second line is the
// head: everything but the data, in JSON.
//
//	session 2 2f7c…             the version of this format, SHA-256 of the head
//	{"ID":"4f0c…","Owner":"ada","Version":3,…,"Data":"9a41…"}
//	{"visits":3}                the data, as they are
//
// The first line vouches for the head, and the head has the SHA-256 of the data.
// So List can trust a head without reading the data, which can be large.
//
// Format 1 had one checksum for all that followed, and "Data":null in its second
// line. Its files are still read. The next save of a record writes format 2.
const (
	format1 = "session 1 "
	format2 = "session 2 "
)

// head is what a file says of a record. Data takes the place of the field of that
// name in the record.
type head struct {
	session.Record
	Data string // SHA-256 of the data, in hex
}

// encode returns the file of a record.
func encode(rec session.Record) ([]byte, error) {
	if !utf8.ValidString(rec.Owner) {
		// JSON would write another text in its place, which may be another owner.
		return nil, errors.New("the owner must be valid UTF-8")
	}
	line, err := json.Marshal(head{rec, digest(rec.Data)})
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s%s\n%s\n", format2, digest(line), line), rec.Data...), nil
}

// decode returns the record of a file, or [session.ErrCorrupt].
func decode(id string, file []byte) (session.Record, error) {
	if isFormat1(file) {
		return decode1(id, file)
	}
	size := headSize(file)
	h, err := decodeHead(id, file[:size])
	if err != nil {
		return session.Record{}, err
	}
	data := file[size:]
	if h.Data != digest(data) {
		return session.Record{}, fmt.Errorf("%w: wrong checksum of the data", session.ErrCorrupt)
	}
	h.Record.Data = data
	return h.Record, nil
}

// decodeHead returns what the first two lines of a file say, or
// [session.ErrCorrupt]. It compares checksums as text, so that an a that became an
// A is found too. It compares the ID, so that a copy under another name opens
// nothing.
func decodeHead(id string, lines []byte) (head, error) {
	var h head
	first, line, _ := bytes.Cut(lines, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\n"))
	if string(first) != format2+digest(line) {
		return head{}, fmt.Errorf("%w: wrong checksum", session.ErrCorrupt)
	}
	if err := json.Unmarshal(line, &h); err != nil || h.ID != id {
		return head{}, fmt.Errorf("%w: not the record of this name", session.ErrCorrupt)
	}
	return h, nil
}

// decode1 is decode for a file of format 1.
func decode1(id string, file []byte) (session.Record, error) {
	var rec session.Record
	first, body, _ := bytes.Cut(file, []byte("\n"))
	if string(first) != format1+digest(body) {
		return rec, fmt.Errorf("%w: wrong checksum", session.ErrCorrupt)
	}
	line, data, _ := bytes.Cut(body, []byte("\n"))
	if err := json.Unmarshal(line, &rec); err != nil || rec.ID != id {
		return session.Record{}, fmt.Errorf("%w: not the record of this name", session.ErrCorrupt)
	}
	rec.Data = data
	return rec, nil
}

// headSize returns how long the first two lines are, and 0 if the second has no
// end.
func headSize(file []byte) int {
	first := bytes.IndexByte(file, '\n') + 1
	second := bytes.IndexByte(file[first:], '\n') + 1
	if first == 0 || second == 0 {
		return 0
	}
	return first + second
}

// isFormat1 reports whether a file has format 1.
func isFormat1(file []byte) bool { return bytes.HasPrefix(file, []byte(format1)) }

// digest returns the SHA-256 of content, in hex.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// read returns a record, expired or not.
func read(root *os.Root, id string) (session.Record, error) {
	f, size, err := openFile(root, recordFile(id))
	if err != nil {
		return session.Record{}, err
	}
	defer f.Close()
	file := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := file.ReadFrom(f); err != nil {
		return session.Record{}, err
	}
	return decode(id, file.Bytes())
}

// readHead returns the record that a file is of, expired or not, without its data. It
// does not read the data, so it cannot tell whether they are damaged.
func readHead(root *os.Root, name, id string) (session.Record, error) {
	f, _, err := openFile(root, name)
	if err != nil {
		return session.Record{}, err
	}
	defer f.Close()
	file := bytes.NewBuffer(make([]byte, 0, 2048))
	for err == nil && (headSize(file.Bytes()) == 0 || isFormat1(file.Bytes())) {
		// Most heads fit in 1 KiB. A file of format 1 is read to its end, because its
		// checksum covers all of it.
		_, err = io.CopyN(file, f, int64(max(1024, file.Len())))
	}
	if err != nil && err != io.EOF {
		return session.Record{}, err
	}
	if isFormat1(file.Bytes()) {
		rec, err := decode1(id, file.Bytes())
		rec.Data = nil
		return rec, err
	}
	h, err := decodeHead(id, file.Bytes()[:headSize(file.Bytes())])
	return h.Record, err
}

// openFile opens the file of a record, and returns its size. It refuses what is not
// a regular file: a symbolic link may lead to another file, and a FIFO would make it
// wait for ever. Lstat finds these. The second look and nonblock are for what is put
// there between Lstat and OpenFile.
func openFile(root *os.Root, name string) (f *os.File, size int64, err error) {
	info, err := root.Lstat(name)
	if err == nil {
		err = mustBeFile(info)
	}
	if err == nil {
		f, err = root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, session.ErrNotFound
	}
	if err != nil {
		return nil, 0, err
	}
	info, err = f.Stat()
	if err == nil {
		err = mustBeFile(info)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// mustBeFile returns [session.ErrCorrupt] for what is not a regular file of this
// user.
func mustBeFile(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a file", session.ErrCorrupt)
	}
	if !isMine(info) {
		return fmt.Errorf("%w: a file of another user", session.ErrCorrupt)
	}
	return nil
}

// write makes a file, and returns when the disk has it.
func write(root *os.Root, name string, content []byte) error {
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
