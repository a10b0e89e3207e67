package filestore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

var (
	fuzzID     = strings.Repeat("4f", 32)
	fuzzRecord = session.Record{
		ID: fuzzID, Data: []byte(`{"visits":3}`), Owner: "ada", Version: 3,
		Created: time.Unix(1, 2).UTC(), Used: time.Unix(3, 4).UTC(), Expires: time.Unix(5_000_000_000, 6).UTC(),
	}
)

// fileOfFormat1 and fileOfFormat2 are fuzzRecord, as this store has written it. They are
// literal texts, so that the tests find a later change of the formats.
const (
	fileOfFormat1 = "session 1 01b7a3d69032efcd6ce80b09e578915ef2815c38796d995719f193a4e264b623\n" +
		`{"ID":"4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f","Data":null,"Owner":"ada",` +
		`"Created":"1970-01-01T00:00:01.000000002Z","Used":"1970-01-01T00:00:03.000000004Z",` +
		`"Expires":"2128-06-11T08:53:20.000000006Z","Version":3,"Ended":false}` + "\n" + `{"visits":3}`
	fileOfFormat2 = "session 2 7c4e20f8ce8fec835e13b851ce6dec905909cf8c02e12e6ec27e3a5bee62cc9d\n" +
		`{"ID":"4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f","Owner":"ada",` +
		`"Created":"1970-01-01T00:00:01.000000002Z","Used":"1970-01-01T00:00:03.000000004Z",` +
		`"Expires":"2128-06-11T08:53:20.000000006Z","Version":3,"Ended":false,` +
		`"Data":"e6fb7adca7477d0276002b65b71abea751558d8443a2eec82b505fa4315fb574"}` + "\n" + `{"visits":3}`
)

// TestFormats reads a file of each format.
func TestFormats(t *testing.T) {
	for name, file := range map[string]string{"1": fileOfFormat1, "2": fileOfFormat2} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(fuzzID, []byte(file))
			if err != nil || !reflect.DeepEqual(got, fuzzRecord) {
				t.Errorf("decode = %+v, %v, want %+v", got, err, fuzzRecord)
			}
		})
	}
	file, err := encode(fuzzRecord)
	if err != nil || string(file) != fileOfFormat2 {
		t.Errorf("encode = %q, %v, want %q", file, err, fileOfFormat2)
	}
}

// withChecksums returns the files of formats 1 and 2 that have this line, these data and
// the right checksums. Anyone who can write to the directory can make such files.
func withChecksums(line, data []byte) [][]byte {
	body := bytes.Join([][]byte{line, data}, []byte("\n"))
	return [][]byte{
		append([]byte(format1+digest(body)+"\n"), body...),
		append([]byte(format2+digest(line)+"\n"), body...),
	}
}

// FuzzRecord reads files whose checksums are right and whose head is any text. If decode
// returns a record, the record stays the same when it is written and read again.
func FuzzRecord(f *testing.F) {
	whole, err := encode(fuzzRecord)
	if err != nil {
		f.Fatal(err)
	}
	lines := bytes.SplitN(whole, []byte("\n"), 3)
	head, data := lines[1], lines[2]
	f.Add(head, data)
	f.Add(bytes.Replace(head, []byte(`"`+digest(data)+`"`), []byte("null"), 1), data)
	for _, seed := range []string{"", "null", `{"ID":1}`, `{"Data":[]}`, string(head[1:]), string(head[:20]), "\n\n"} {
		f.Add([]byte(seed), data)
	}
	f.Fuzz(func(t *testing.T, line, data []byte) {
		if _, err := decode(fuzzID, line); !errors.Is(err, session.ErrCorrupt) {
			t.Fatalf("a file without a checksum: %v, want %v", err, session.ErrCorrupt)
		}
		for _, file := range withChecksums(line, data) {
			rec, err := decode(fuzzID, file)
			if err == nil {
				mustComeBack(t, file, rec)
			} else if !errors.Is(err, session.ErrCorrupt) {
				t.Fatalf("decode: %v, want %v", err, session.ErrCorrupt)
			}
		}
	})
}

// mustComeBack fails the test if a record changes when it is written and read again, or
// if its head differs from the record.
func mustComeBack(t *testing.T, from []byte, rec session.Record) {
	t.Helper()
	file, err := encode(rec)
	if err != nil {
		t.Fatalf("encode of what was decoded from %q: %v", from, err)
	}
	again, err := decode(fuzzID, file)
	if err != nil || !bytes.Equal(again.Data, rec.Data) {
		t.Fatalf("the data were read as %q, %v, want %q as they were written", again.Data, err, rec.Data)
	}
	if twice, err := encode(again); err != nil || !bytes.Equal(twice, file) {
		t.Errorf("the second file is %q, %v, want %q as the first", twice, err, file)
	}
	h, err := decodeHead(fuzzID, file[:headSize(file)])
	again.Data = nil
	if err != nil || !reflect.DeepEqual(h.Record, again) {
		t.Errorf("the head of %q is %+v, %v, want %+v", file, h.Record, err, again)
	}
}

// TestAHeadIsCheckedByItself flips each bit of a head.
func TestAHeadIsCheckedByItself(t *testing.T) {
	whole := []byte(fileOfFormat2)
	size := headSize(whole)
	for i := range 8 * size {
		flipped := bytes.Clone(whole[:size])
		flipped[i/8] ^= 1 << (i % 8)
		if h, err := decodeHead(fuzzID, flipped[:headSize(flipped)]); !errors.Is(err, session.ErrCorrupt) {
			t.Errorf("bit %d of byte %d: the head is %+v, %v, want %v", i%8, i/8, h, err, session.ErrCorrupt)
		}
	}
}

// damage changes a byte of a record's data, and leaves its head as it is.
func damage(t *testing.T, s *Store, id string) {
	t.Helper()
	name := filepath.Join(s.dir, recordFile(id))
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-1] ^= 1
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), id); !errors.Is(err, session.ErrCorrupt) {
		t.Errorf("Load: %v, want %v", err, session.ErrCorrupt)
	}
}

// TestAListReadsNoData has a record whose data are damaged. Its head is not, so its owner
// sees it and can end it.
func TestAListReadsNoData(t *testing.T) {
	s := newStore(t)
	id := newID("damaged")
	if err := s.Save(t.Context(), id, record("ada", time.Hour)); err != nil {
		t.Fatal(err)
	}
	damage(t, s, id)
	records, err := s.List(t.Context(), "ada")
	if err != nil || len(records) != 1 {
		t.Fatalf("List = %+v, %v, want one record", records, err)
	}
	tombstone := record("ada", time.Hour)
	tombstone.Version, tombstone.Ended = records[0].Version, true
	if err := s.Save(t.Context(), id, tombstone); err != nil {
		t.Errorf("Save of a tombstone over it: %v", err)
	}
	if rec, err := s.Load(t.Context(), id); err != nil || !rec.Ended {
		t.Errorf("Load = %+v, %v, want the tombstone", rec, err)
	}

	damage(t, s, id)
	if err := s.Save(t.Context(), id, record("bob", time.Hour)); err != nil {
		t.Errorf("Save of a new record over it: %v", err)
	}
	rec, err := s.Load(t.Context(), id)
	if err != nil {
		t.Errorf("Load: %v, want bob's new record", err)
	}
	if rec.Owner != "bob" {
		t.Errorf("owner %q, want %q", rec.Owner, "bob")
	}
	if rec.Version != 1 {
		t.Errorf("version %d, want 1", rec.Version)
	}
}

// TestARecordOfFormat1 has a record that an earlier release left. The store loads, lists
// and saves it like any other.
func TestARecordOfFormat1(t *testing.T) {
	s := newStore(t)
	id := fuzzID
	plant(t, s, id, fuzzRecord)
	name := filepath.Join(s.dir, recordFile(id))
	if err := os.WriteFile(name, []byte(fileOfFormat1), 0o600); err != nil {
		t.Fatal(err)
	}
	rec, err := s.Load(t.Context(), id)
	if err != nil || !reflect.DeepEqual(rec, fuzzRecord) {
		t.Fatalf("Load = %+v, %v, want %+v", rec, err, fuzzRecord)
	}
	want := rec
	want.Data = nil
	records, err := s.List(t.Context(), "ada")
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if !reflect.DeepEqual(records, []session.Record{want}) {
		t.Fatalf("List = %+v, want only %+v", records, want)
	}
	if err := s.Save(t.Context(), id, rec); err != nil {
		t.Fatalf("Save over it: %v", err)
	}
	file, err := os.ReadFile(name)
	if err != nil || !bytes.HasPrefix(file, []byte(format2)) {
		t.Errorf("the file is %.20q, %v, want format 2", file, err)
	}
	rec, err = s.Load(t.Context(), id)
	if err != nil {
		t.Errorf("Load: %v", err)
	}
	if rec.Version != 4 {
		t.Errorf("version %d, want 4", rec.Version)
	}
	if string(rec.Data) != `{"visits":3}` {
		t.Errorf("data %q, want %q", rec.Data, `{"visits":3}`)
	}
}
