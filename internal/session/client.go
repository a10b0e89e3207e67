package session

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// clientSide is the backend of client-side sessions: the payload of the cookie is
// the session, as one JSON object.
type clientSide struct {
	opts *Options
}

func (b *clientSide) open(_ context.Context, cookie signed, now time.Time) (*Session, error) {
	values, err := decodePayload(cookie.payload)
	if err != nil {
		return nil, err
	}
	s := &Session{savedAt: cookie.at}
	s.permanent = takePermanent(values)
	s.created = takeCreated(values, cookie.at)
	s.values = values
	return s, b.opts.checkAbsolute(s.created, now) // unsign has checked the rest
}

func (b *clientSide) keep(_ context.Context, s *Session, _ time.Time) ([]byte, error) {
	bookkeeping := make(map[string]value)
	if b.opts.AbsoluteTimeout > 0 {
		bookkeeping[createdKey] = encodeValue(s.created.Unix())
	}
	return s.encode(bookkeeping)
}

// encode returns the values as JSON, together with the package's own.
func (st *state) encode(bookkeeping map[string]value) ([]byte, error) {
	for _, name := range []string{permanentKey, createdKey} {
		if _, taken := st.values[name]; taken {
			return nil, fmt.Errorf("%w: key %q is the package's own", ErrValue, name)
		}
	}
	if st.permanent {
		bookkeeping[permanentKey] = encodeValue(true)
	}
	if len(bookkeeping) == 0 {
		return encodePayload(st.values)
	}
	maps.Copy(bookkeeping, st.values)
	return encodePayload(bookkeeping)
}

// takePermanent takes Flask's mark of a permanent session out of the values.
func takePermanent(values map[string]value) bool {
	permanent, _ := decodeValue[bool](values[permanentKey].json)
	delete(values, permanentKey)
	return permanent
}

// takeCreated takes the time at which the session began out of the values. A session
// that does not say when it began, began when it was signed.
func takeCreated(values map[string]value, signedAt time.Time) time.Time {
	created, ok := decodeValue[int64](values[createdKey].json)
	delete(values, createdKey)
	if ok && created > 0 && created < signedAt.Unix() {
		return time.Unix(created, 0)
	}
	return signedAt
}
