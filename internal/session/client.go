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

func (b *clientSide) open(_ context.Context, value signed, now time.Time) (*Session, error) {
	values, err := decodePayload(value.encoded)
	if err != nil {
		return nil, err
	}
	s := &Session{savedAt: value.at}
	s.permanent = takePermanent(values)
	s.created = takeCreated(values, value.at)
	s.values = values
	// unsign has checked the lifetime and the idle timeout.
	if err := b.opts.checkAbsolute(s.created, now); err != nil {
		return nil, err
	}
	return s, nil
}

func (b *clientSide) keep(_ context.Context, s *Session, _ time.Time) ([]byte, error) {
	return s.encode(b.opts.AbsoluteTimeout > 0)
}

// encode returns the values as JSON, together with the package's own: whether the
// session is permanent, and if withCreated is true, when it began.
func (st *state) encode(withCreated bool) ([]byte, error) {
	for _, name := range []string{permanentKey, createdKey} {
		if _, taken := st.values[name]; taken {
			return nil, fmt.Errorf("%w: key %q is the package's own", ErrValue, name)
		}
	}
	if !st.permanent && !withCreated {
		return encodePayload(st.values)
	}
	values := maps.Clone(st.values)
	if st.permanent {
		values[permanentKey] = encodeValue(true)
	}
	if withCreated {
		values[createdKey] = encodeValue(st.created.Unix())
	}
	return encodePayload(values)
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
