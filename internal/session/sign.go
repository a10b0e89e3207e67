package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxCookie = 4096             // bytes of name and value that browsers keep
	clockSkew = time.Minute      // how much the clocks of two machines may differ
	anyAge    = time.Duration(0) // a limit for unsign: none
)

// NewSecret returns a new secret: 32 bytes from the operating system's random
// source. Anyone who knows the secret can forge a session for any user. If you lose
// it, every session becomes invalid. So a program in production reads its secret
// with [SecretFromEnv].
func NewSecret() []byte {
	secret := make([]byte, minSecret)
	rand.Read(secret) // never fails: it would end the program
	return secret
}

// SecretFromEnv returns the bytes of the environment variable name, as they are,
// or [ErrNoSecret] when it is unset or empty.
func SecretFromEnv(name string) ([]byte, error) {
	secret := os.Getenv(name)
	if secret == "" {
		return nil, fmt.Errorf("%w: %s is not set", ErrNoSecret, name)
	}
	return []byte(secret), nil
}

// A signer signs values for one purpose, which its salt names, and opens values
// that were signed for the same purpose.
type signer struct {
	maxSize int          // of a signed value, in bytes
	macs    []*sync.Pool // of hash.Hash, one pool for each secret: the first one signs, all verify
}

// newSigner derives the key of each MAC as HMAC(secret, salt), so that a value that
// was signed for one purpose is not valid for another (itsdangerous:
// key_derivation="hmac").
func newSigner(newHash func() hash.Hash, salt string, secrets ...[]byte) *signer {
	s := new(signer)
	for _, secret := range secrets {
		mac := hmac.New(newHash, secret)
		mac.Write([]byte(salt))
		derived := mac.Sum(nil)
		s.macs = append(s.macs, &sync.Pool{New: func() any { return hmac.New(newHash, derived) }})
	}
	return s
}

// sign returns payload.timestamp.signature, each part in base64url.
func (s *signer) sign(payload []byte, now time.Time) string {
	value := make([]byte, 0, base64url.EncodedLen(len(payload))+64) // room for the rest
	value = base64url.AppendEncode(value, payload)
	value = append(value, '.')
	value = appendTimestamp(value, now)
	signature := signatureOf(value, s.macs[0])
	value = append(value, '.')
	return string(append(value, signature...))
}

// signed is a value that unsign opened.
type signed struct {
	encoded string // the payload, still in base64url
	at      time.Time
	old     bool // signed with an old secret
}

// unsign opens a value that was signed at most limit ago; with anyAge its age is
// not checked. The order of the steps protects: nothing in the value is decoded
// before step 3 has shown who wrote it.
func (s *signer) unsign(value string, now time.Time, limit time.Duration) (signed, error) {
	// 1. Refuse a value longer than browsers keep, before it costs anything.
	if len(value) > s.maxSize {
		return signed{}, fmt.Errorf("%w: a value of %d bytes", ErrTooLarge, len(value))
	}
	// 2. Cut it at the last dot: what was signed, and the signature.
	message, signature, ok := cutLast(value)
	if !ok {
		return signed{}, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	// 3. Sign it again with each secret; one result must equal the signature.
	match := s.match([]byte(message), []byte(signature))
	if match < 0 {
		return signed{}, ErrSignature
	}
	// 4. Cut what was signed at its last dot: the payload, and the timestamp.
	encoded, timestamp, ok := cutLast(message)
	if !ok {
		return signed{}, fmt.Errorf("%w: no timestamp", ErrMalformed)
	}
	at, err := decodeTimestamp(timestamp)
	if err != nil {
		return signed{}, err
	}
	// 5. Refuse a timestamp that is too old, or ahead of the clock.
	if limit != anyAge {
		if err := checkAge(at, now, limit); err != nil {
			return signed{}, err
		}
	}
	return signed{encoded, at, match > 0}, nil
}

// match returns which secret produces the signature of message, or -1 if none does.
// It compares the texts and not the decoded bytes, so that a signature has only one
// valid spelling. The comparison takes constant time: its duration does not depend
// on how many letters are right, so a forger cannot find them one by one.
func (s *signer) match(message, signature []byte) int {
	return slices.IndexFunc(s.macs, func(pool *sync.Pool) bool {
		return hmac.Equal(signatureOf(message, pool), signature)
	})
}

// signatureOf returns the MAC of message as base64url.
func signatureOf(message []byte, pool *sync.Pool) []byte {
	mac := pool.Get().(hash.Hash)
	defer pool.Put(mac)
	mac.Reset()
	mac.Write(message)
	return base64url.AppendEncode(nil, mac.Sum(nil))
}

// appendTimestamp appends Unix seconds, big-endian without leading zero bytes,
// as base64url.
func appendTimestamp(dst []byte, t time.Time) []byte {
	padded := binary.BigEndian.AppendUint64(nil, uint64(t.Unix()))
	return base64url.AppendEncode(dst, bytes.TrimLeft(padded, "\x00"))
}

// decodeTimestamp reads what appendTimestamp wrote. Four bytes last until the year
// 2106, and five bytes until the year 36812. More are refused.
func decodeTimestamp(text string) (time.Time, error) {
	b, err := decode64(text)
	if err != nil || len(b) == 0 || len(b) > 5 || b[0] == 0 {
		return time.Time{}, fmt.Errorf("%w: timestamp", ErrMalformed)
	}
	var padded [8]byte
	copy(padded[8-len(b):], b)
	return time.Unix(int64(binary.BigEndian.Uint64(padded[:])), 0), nil
}

// checkAge returns [ErrExpired] for a value that is older than limit, or that was
// signed in the future. A value whose age is exactly the limit is still valid, as in
// Flask.
func checkAge(at, now time.Time, limit time.Duration) error {
	// In seconds: a timestamp has no more, and a Duration ends after 292 years.
	age := now.Unix() - at.Unix()
	switch {
	case age < -int64(clockSkew/time.Second):
		return fmt.Errorf("%w: signed in the future", ErrExpired)
	case age > int64(limit/time.Second):
		return fmt.Errorf("%w: older than %v", ErrExpired, limit)
	}
	return nil
}

// cutLast cuts s around its last dot.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
