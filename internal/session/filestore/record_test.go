package filestore

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// FuzzRecord reads files of which only the checksum is right, as whoever can write
// to the directory can make. What is a record, written and read again, is the same.
func FuzzRecord(f *testing.F) {
	id := strings.Repeat("4f", 32)
	whole, err := encode(session.Record{
		ID: id, Data: []byte(`{"visits":3}`), Owner: "ada", Version: 3,
		Created: time.Unix(1, 2).UTC(), Used: time.Unix(3, 4).UTC(), Expires: time.Unix(5, 6).UTC(),
	})
	if err != nil {
		f.Fatal(err)
	}
	body := whole[bytes.IndexByte(whole, '\n')+1:]
	for _, seed := range [][]byte{body, body[1:], body[:20], nil, []byte("null\n"), []byte(`{"ID":1}`), []byte("\n\n\n")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := decode(id, body); !errors.Is(err, session.ErrCorrupt) {
			t.Fatalf("a file without a checksum: %v, want %v", err, session.ErrCorrupt)
		}
		rec, err := decode(id, append(checksum(body), body...))
		if err != nil {
			if !errors.Is(err, session.ErrCorrupt) {
				t.Fatalf("decode: %v, want %v", err, session.ErrCorrupt)
			}
			return
		}
		file, err := encode(rec)
		if err != nil {
			t.Fatalf("encode of what was decoded: %v", err)
		}
		again, err := decode(id, file)
		if err != nil || !bytes.Equal(again.Data, rec.Data) {
			t.Fatalf("%q was written and read as %q, %v", rec.Data, again.Data, err)
		}
		if twice, err := encode(again); err != nil || !bytes.Equal(twice, file) {
			t.Errorf("%q was written again as %q, %v", file, twice, err)
		}
	})
}
