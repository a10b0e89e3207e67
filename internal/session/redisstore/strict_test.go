package redisstore

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/storetest"
)

// prelude is put before a script. It refuses every key that the script has not declared,
// as Dragonfly, kvrocks and a cluster do.
const prelude = `
local redis = (function(real)
	local declared = {}
	for _, key in ipairs(KEYS) do declared[key] = true end
	local function checked(run)
		return function(name, key, ...)
			local keys = {key}
			if name == 'DEL' or name == 'UNLINK' or name == 'EXISTS' then keys = {key, ...} end
			for _, k in ipairs(keys) do
				if not declared[k] then error('undeclared key in ' .. name) end
			end
			return run(name, key, ...)
		end
	end
	return {call = checked(real.call), pcall = checked(real.pcall)}
end)(redis)
`

// startStrict starts a Redis behind a proxy that puts the prelude before each script.
func startStrict(t *testing.T) (address string) {
	t.Helper()
	r := startRedis(t)
	return listen(t, func() string { return r.addr }, func(client, backend net.Conn) { beStrict(t, client, backend) })
}

// beStrict passes on commands, with the prelude before each script, and replies.
func beStrict(t *testing.T, client, backend net.Conn) {
	go func() { io.Copy(client, backend); client.Close() }()
	w := bufio.NewWriter(backend)
	for r := bufio.NewReader(client); ; w.Flush() {
		words, err := readReply(r) // a command has the form of a reply
		if err != nil {
			return
		}
		var c command
		for _, word := range words.([]any) {
			c = append(c, word.(string))
		}
		switch {
		case c[0] == "EVAL":
			c[1] = prelude + c[1]
		case strings.HasPrefix(c[0], "EVAL"), strings.HasPrefix(c[0], "FCALL"):
			t.Errorf("the store sent %s, want only EVAL, which is checked for undeclared keys", c[0])
		}
		c.write(w)
	}
}

// TestStrictServer runs the tests of a store on a server that refuses keys which a script
// has not declared.
func TestStrictServer(t *testing.T) {
	addr := startStrict(t)
	s := connectTo(t, "", addr, "")
	for script, refused := range map[string]bool{
		"return redis.call('EXISTS', KEYS[1])":                      false,
		"return redis.call('EXISTS', 'other')":                      true,
		"return redis.call('DEL', KEYS[1], 'other')":                true,
		"redis.pcall('DEL', 'other') return 1":                      true,
		"return redis.call('HGET', 'session:owner:' .. 'ada', 'x')": true,
	} {
		t.Run(script, func(t *testing.T) {
			_, err := s.pool.do(t.Context(), command{"EVAL", script, "1", "key"})
			if (err != nil) != refused {
				t.Errorf("%v, want that it is refused: %t", err, refused)
			}
		})
	}
	storetest.Run(t, func(t *testing.T) session.Store { return connectTo(t, "", addr, "") })
}

// TestStrictServerEndsSessions ends sessions after a change of owner, and by a logout,
// End and Revoke.
func TestStrictServerEndsSessions(t *testing.T) {
	m := newManager(t, connectTo(t, "", startStrict(t), ""), time.Second)
	for what, end := range map[string]func(cookie, id string) error{
		"another owner": func(cookie, _ string) error {
			visit(m, cookie, func(s *session.Session) { s.SetOwner("bob") })
			return m.Revoke(t.Context(), "bob")
		},
		"a logout": func(cookie, _ string) error { visit(m, cookie, (*session.Session).Clear); return nil },
		"End":      func(_, id string) error { return m.End(t.Context(), "ada", id) },
		"Revoke":   func(_, _ string) error { return m.Revoke(t.Context(), "ada") },
	} {
		t.Run(what, func(t *testing.T) {
			cookie, id := begin(t, m), ""
			visit(m, cookie, func(s *session.Session) { s.SetOwner("ada"); id = s.ID() })
			if err := end(cookie, id); err != nil {
				t.Errorf("the end: %v", err)
			}
			response := visit(m, cookie, func(s *session.Session) {
				if !s.IsNew() {
					t.Error("the session still opens, want a new one")
				}
			})
			if response.StatusCode != 200 {
				t.Errorf("the next request: status %d, want 200", response.StatusCode)
			}
			records, err := m.Sessions(t.Context(), "ada")
			if err != nil || len(records) != 0 {
				t.Errorf("ada's sessions are %v, %v, want none", records, err)
			}
		})
	}
}
