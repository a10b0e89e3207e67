package session

import (
	"fmt"
	"time"
)

// Parts is what anyone can read in a cookie, without a secret.
type Parts struct {
	Payload   []byte    // what was signed, decompressed: a session's JSON, or a session ID
	SignedAt  time.Time // when it was signed
	Signature string    // as it stands in the cookie, in base64url
}

// Inspect takes the value of a cookie apart. It does not check the signature, so
// anyone may have made up the value; [Manager.Verify] checks it. If the value is
// not payload.timestamp.signature, Inspect returns [ErrMalformed].
//
// A payload that is compressed, as Flask does it, may become 1 MiB: call Verify
// first where the value comes from a visitor.
func Inspect(cookie string) (Parts, error) {
	message, signature, _ := cutLast(cookie)
	encoded, timestamp, ok := cutLast(message)
	if !ok || encoded == "" || signature == "" {
		return Parts{}, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	payload, err := payloadBytes(encoded)
	if err != nil {
		return Parts{}, err
	}
	signedAt, err := decodeTimestamp(timestamp)
	if err != nil {
		return Parts{}, err
	}
	if _, err := decode64(signature); err != nil {
		return Parts{}, err
	}
	return Parts{payload, signedAt, signature}, nil
}

// Verify returns nil if the signature of a cookie's value is valid, whatever its
// age, and otherwise [ErrSignature], [ErrMalformed] or [ErrTooLarge]. It is for
// tools. Most programs need only [Manager.Handler] and [From].
func (m *Manager) Verify(value string) error {
	_, err := m.signer.unsign(value, time.Now(), anyAge)
	return err
}
