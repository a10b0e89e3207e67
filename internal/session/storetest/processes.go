package storetest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"example.com/sessions/internal/session"
)

// The environment variables of a process that RunProcesses starts.
const (
	secretVariable = "STORETEST_SECRET"
	cookieVariable = "STORETEST_COOKIE"
)

// RunProcesses lets two processes make a thousand visits of one session, and then
// counts them in s. It is for stores that several processes can share. child returns a
// process that is not started yet: it must have env in its environment, open the same
// store as s, and call [MakeVisits].
func RunProcesses(t *testing.T, s session.Store, child func(env ...string) *exec.Cmd) {
	t.Helper()
	secret := session.NewSecret()
	m, err := managerOf(s, secret)
	if err != nil {
		t.Fatal(err)
	}
	cookie := begin(t, m, "")
	var processes []*exec.Cmd
	for range 2 {
		processes = append(processes, child(secretVariable+"="+hex.EncodeToString(secret), cookieVariable+"="+cookie.Value))
	}
	for _, err := range together(len(processes), func(i int) error {
		var out bytes.Buffer
		processes[i].Stdout, processes[i].Stderr = &out, &out
		if err := processes[i].Run(); err != nil {
			return fmt.Errorf("%w: %s", err, out.Bytes())
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("a process that visits: %v", err)
		}
	}
	response := visit(m, cookie, func(s *session.Session) {
		if n := visits.Get(s); n != 1000 {
			t.Errorf("1000 increments made %d", n)
		}
	})
	if response.StatusCode != 200 {
		t.Errorf("the count has status %d, want 200", response.StatusCode)
	}
}

// MakeVisits makes the visits of a process that [RunProcesses] started: 500 of them,
// from 20 goroutines. The error says which of them did not get status 200.
func MakeVisits(s session.Store) error {
	secret, err := hex.DecodeString(os.Getenv(secretVariable))
	if err != nil {
		return err
	}
	m, err := managerOf(s, secret)
	if err != nil {
		return err
	}
	cookie := &http.Cookie{Name: "session", Value: os.Getenv(cookieVariable)}
	return errors.Join(together(20, func(int) error {
		for range 25 {
			if code := visit(m, cookie, countVisit).StatusCode; code != 200 {
				return fmt.Errorf("status %d, want 200", code)
			}
		}
		return nil
	})...)
}
