package session_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

func TestVerifyJudgesTheSignatureAndNotTheAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, session.Options{Lifetime: time.Hour})
		value := strings.TrimPrefix(signedIn(t, m), "session=")
		time.Sleep(1000 * time.Hour)
		for text, want := range map[string]error{
			value: nil, value + "x": session.ErrSignature, "x" + value: session.ErrSignature, "": session.ErrMalformed,
			strings.Repeat("x", 5000): session.ErrTooLarge, mint("{}", time.Unix(1_000_000_000, 0)): nil,
		} {
			if err := m.Verify(text); !errors.Is(err, want) {
				t.Errorf("Verify(%.20q) = %v, want %v", text, err, want)
			}
		}
	})
}

func TestNameSeparatesCookies(t *testing.T) {
	a, b := newManager(t, session.Options{Name: "a"}), newManager(t, session.Options{Name: "b"})
	if err := b.Verify(strings.TrimPrefix(signedIn(t, a), "a=")); !errors.Is(err, session.ErrSignature) {
		t.Errorf("b accepts a's cookie: %v", err)
	}
	flask := newManager(t, session.Options{Name: "a", Salt: "cookie-session"})
	if err := flask.Verify(mint("{}", time.Now())); err != nil {
		t.Errorf("with Flask's salt: %v", err)
	}
}
