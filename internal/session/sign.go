package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Why a session could not be loaded or saved, for [errors.Is]. The errors that
// wrap them say more, and never hold a secret or a cookie's value.
var (
	// ErrSignature is returned when no secret makes the cookie's signature: it
	// was changed, or signed with another secret, salt or hash.
	ErrSignature = errors.New("session: signature does not match")
	// ErrExpired is returned when the signature matches and the session's time
	// is over, or lies in the future.
	ErrExpired = errors.New("session: expired")
	// ErrMalformed is returned when the cookie is not payload.timestamp.signature
	// in its one spelling, or what was signed is no session.
	ErrMalformed = errors.New("session: malformed cookie")
	// ErrDuplicate is returned when a request brings two different cookies that
	// both hold, so that nobody can say whose session it is, or more than four.
	ErrDuplicate = errors.New("session: more than one cookie")
	// ErrTooLarge is returned when the cookie's name and value are over the 4096
	// bytes that browsers keep (RFC 6265bis, section 5.6).
	ErrTooLarge = errors.New("session: cookie is too large")
	// ErrValue is returned when a value cannot be saved: JSON cannot hold it, its
	// key is one of the package's own, or the store has no room for it.
	ErrValue = errors.New("session: value cannot be saved")
	// ErrNoSecret is returned by [SecretFromEnv] when the variable is not set, or
	// empty.
	ErrNoSecret = errors.New("session: no secret")
)

const (
	maxCookie = 4096        // bytes of name and value that browsers keep
	clockSkew = time.Minute // how far the clocks of two machines may differ
)

// NewSecret returns a new secret: 32 bytes from the operating system's random
// source. Who knows it can sign in as anybody, and whoever forgets it ends every
// session, so a program in production reads its secret with [SecretFromEnv].
func NewSecret() []byte {
	secret := make([]byte, minSecret)
	rand.Read(secret) // never fails: it ends the program instead
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

// A signer signs values for one purpose, which its salt names, and opens what
// was signed for that purpose.
type signer struct {
	maxSize   int           // bytes a signed value may have
	timeLimit time.Duration // how long a signed value holds; 0: its age is not checked
	macs      []*sync.Pool  // of hash.Hash, a pool for each secret: the first signs, all verify
}

// newSigner keys each MAC with HMAC(secret, salt), so that what was signed for
// one purpose holds for no other (itsdangerous: key_derivation="hmac").
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
	payload string // base64url still: what is in it concerns others
	at      time.Time
	old     bool // signed with an old secret
}

// unsign opens a value. The order of the steps is what protects: before step 3
// says who wrote the value, nothing in it is decoded.
func (s *signer) unsign(value string, now time.Time) (signed, error) {
	// 1. Refuse a value longer than browsers keep, before it costs anything.
	if len(value) > s.maxSize {
		return signed{}, fmt.Errorf("%w: a value of %d bytes", ErrTooLarge, len(value))
	}
	// 2. Cut it at the last dot: what was signed, and the signature.
	message, signature, ok := cutLast(value)
	if !ok {
		return signed{}, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	// 3. Sign anew with each secret; one result must equal the signature.
	match := s.match([]byte(message), []byte(signature))
	if match < 0 {
		return signed{}, ErrSignature
	}
	// 4. Cut what was signed at its last dot: the payload, and the timestamp.
	payload, timestamp, ok := cutLast(message)
	if !ok {
		return signed{}, fmt.Errorf("%w: no timestamp", ErrMalformed)
	}
	at, err := decodeTimestamp(timestamp)
	if err != nil {
		return signed{}, err
	}
	// 5. Refuse a timestamp that is too old, or ahead of the clock.
	if s.timeLimit > 0 {
		if err := checkAge(at, now, s.timeLimit); err != nil {
			return signed{}, err
		}
	}
	return signed{payload, at, match > 0}, nil
}

// match returns which secret makes the signature of message, -1 when none does.
// The texts are compared, not the bytes they stand for, so a signature has one
// spelling; and in constant time, so a forger cannot find it letter by letter.
func (s *signer) match(message, signature []byte) int {
	return slices.IndexFunc(s.macs, func(macs *sync.Pool) bool {
		return hmac.Equal(signatureOf(message, macs), signature)
	})
}

// signatureOf returns the MAC of message as base64url.
func signatureOf(message []byte, macs *sync.Pool) []byte {
	mac := macs.Get().(hash.Hash)
	defer macs.Put(mac)
	mac.Reset()
	mac.Write(message)
	return base64url.AppendEncode(nil, mac.Sum(nil))
}

// appendTimestamp appends Unix seconds, big-endian without leading zero bytes,
// as base64url.
func appendTimestamp(dst []byte, t time.Time) []byte {
	seconds := binary.BigEndian.AppendUint64(nil, uint64(t.Unix()))
	return base64url.AppendEncode(dst, bytes.TrimLeft(seconds, "\x00"))
}

// decodeTimestamp reads what appendTimestamp wrote. Four bytes last until 2106
// and five for longer than there will be browsers, so more are refused, which
// keeps all arithmetic on timestamps from overflowing.
func decodeTimestamp(text string) (time.Time, error) {
	b, err := decode64(text)
	if err != nil || len(b) == 0 || len(b) > 5 || b[0] == 0 {
		return time.Time{}, fmt.Errorf("%w: timestamp", ErrMalformed)
	}
	var seconds [8]byte
	copy(seconds[8-len(b):], b)
	return time.Unix(int64(binary.BigEndian.Uint64(seconds[:])), 0), nil
}

// checkAge compares in whole seconds, as that is what a timestamp holds: at an
// age of exactly the limit a value still holds (as in Flask).
func checkAge(at, now time.Time, limit time.Duration) error {
	age := time.Duration(now.Unix()-at.Unix()) * time.Second
	switch {
	case age < -clockSkew:
		return fmt.Errorf("%w: signed in the future", ErrExpired)
	case age > limit:
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
