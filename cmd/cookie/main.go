// Command cookie shows what is in a session's cookie, when it was signed, how many
// bytes it takes, and whether its signature is valid.
//
//	go run ./cmd/cookie eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w
//	go run ./cmd/cookie 'Cookie: theme=dark; counter=eyJ2aXNpdHMiOjN9.ZVPxAA.XpQZ...'
//	curl -sI http://localhost:8080 | go run ./cmd/cookie
//
// The command takes a value, name=value, or lines with a Set-Cookie or Cookie header,
// as one argument or from standard input. Pass a cookie that is in use on standard
// input, because anyone who reads it can open its session. Shells remember arguments,
// and other users of the machine can see them.
//
// The command needs no secret to read a cookie, and neither does anyone else. With the
// secret in SESSION_SECRET, or the one before it in SESSION_SECRET_OLD, it also says
// whether the signature is valid, and warns if the secret is too short. It shows the
// cookie's age and does not judge it, because each server sets its own maximum.
//
//	-name NAME  the cookie's name, which the signature covers: by default the
//	            header's, or "session" if there is no header
//	-sha1       the cookie was signed with SHA-1, as a stock Flask does
//
// The exit status is 1 if the signature is not valid or the cookie is not a session's,
// and 2 if the command was called wrongly (go run turns 2 into 1). The output has
// colour on a terminal, unless NO_COLOR is set. COLUMNS is the terminal's width, 80 by
// default.
package main

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"os"

	"example.com/sessions/internal/session"
)

// maxInput is the maximum number of bytes that the command reads. It is sixteen times a
// cookie's maximum, because the cookie may stand among others.
const maxInput = 64 << 10

// errUsage is in the chain of an error that lies in the call, not in the cookie.
var errUsage = errors.New("usage")

func main() {
	if info, err := os.Stdin.Stat(); len(os.Args) == 1 && err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintln(os.Stderr, "cookie: reading a cookie from standard input")
	}
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// run runs the command and returns its exit status. It writes what it finds in the
// cookie to stdout, and an error to stderr.
func run(args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	valid, err := look(args, env, stdin, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, printable("cookie: "+err.Error()))
		return 2
	case err != nil:
		fmt.Fprintln(stderr, printable("cookie: "+err.Error()))
		return 1
	case !valid:
		return 1
	}
	return 0
}

// look shows the cookie that it is given. It returns false if the signature is not valid
// or the cookie is not a session's. Without a secret it cannot check the signature, and
// takes it for valid.
func look(args []string, env func(string) string, stdin io.Reader, stdout io.Writer) (valid bool, err error) {
	name, newHash, text, err := parse(args, stdin, stdout)
	if err != nil {
		return false, err
	}
	found, err := findCookie(text, name)
	if err != nil {
		return false, err
	}
	parts, err := session.Inspect(found.value)
	if err != nil {
		return false, err
	}
	verdict, err := verify(found, parts, newHash, env)
	if err != nil {
		return false, err
	}
	page := page{stdout, columns(env), wantColour(stdout, env)}
	page.show(found, parts, verdict)
	return verdict.status != notValid && kindOf(parts.Payload) != foreign, nil
}

// parse returns what the arguments say, and the text that contains the cookie.
func parse(args []string, stdin io.Reader, stdout io.Writer) (name string, newHash func() hash.Hash, text string, err error) {
	var help bytes.Buffer
	flags := flag.NewFlagSet("cookie", flag.ContinueOnError)
	flags.SetOutput(&help)
	flags.Usage = func() {
		fmt.Fprintln(&help, "usage: cookie [-name NAME] [-sha1] [VALUE]  (without VALUE, standard input)")
		flags.PrintDefaults()
	}
	flags.StringVar(&name, "name", "", "the cookie's `NAME`: by default the header's, or session")
	withSHA1 := flags.Bool("sha1", false, "signed with SHA-1, as a stock Flask does")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		stdout.Write(help.Bytes())
		return "", nil, "", err
	case err != nil:
		return "", nil, "", fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 1:
		return "", nil, "", fmt.Errorf("%w: there are %d arguments, want one (put it in quotes)", errUsage, flags.NArg())
	}
	newHash = sha256.New
	if *withSHA1 {
		newHash = sha1.New
	}
	text, err = input(flags.Args(), stdin)
	return name, newHash, text, err
}

// input returns the argument, or reads stdin if there is none.
func input(args []string, stdin io.Reader) (string, error) {
	var text string
	if len(args) == 1 {
		text = args[0]
	} else {
		read, err := io.ReadAll(io.LimitReader(stdin, maxInput+1))
		if err != nil {
			return "", err
		}
		text = string(read)
	}
	if len(text) > maxInput {
		return "", fmt.Errorf("more than %d bytes, of which browsers keep 4096 in a cookie", maxInput)
	}
	return text, nil
}

// verdict says whether a signature is valid, and why.
type verdict struct {
	status status
	text   string
}

type status int

const (
	unchecked status = iota // there is no secret to check it with
	valid
	notValid
)

// verify checks the signature with the secrets of the environment.
func verify(c cookie, parts session.Parts, newHash func() hash.Hash, env func(string) string) (verdict, error) {
	result := verdict{unchecked, "not checked, because SESSION_SECRET is not set"}
	for _, variable := range []string{"SESSION_SECRET", "SESSION_SECRET_OLD"} {
		secret := env(variable)
		if secret == "" {
			continue
		}
		for i, salt := range salts(c.name, parts.Payload) {
			// New requires Secure for some names. It has no effect on the signature.
			sessions, err := session.New(padded(secret), &session.Options{
				Name: c.name, Salt: salt, Hash: newHash, Secure: true,
			})
			if err != nil {
				return verdict{}, fmt.Errorf("%w: %s: %w", errUsage, variable, err)
			}
			err = sessions.Verify(c.value)
			if err == nil {
				text := fmt.Sprintf("valid, with %s and the salt %.60q", variable, salt)
				if i > 0 {
					text += "\nof Flask, which uses it for every name: here, set Options.Salt to it"
				}
				return verdict{valid, text + tooShort(variable, secret)}, nil
			}
			text := whyNotValid(err, c.name, parts.Signature, newHash().Size())
			result = verdict{notValid, text + tooShort(variable, secret)}
		}
	}
	return result, nil
}

// minSecret is the minimum number of bytes that session.New takes as a secret.
const minSecret = 32

// padded returns the secret, with zero bytes after it if it is too short for
// session.New. The signature stays the same, because HMAC pads a short key with zero
// bytes too.
func padded(secret string) []byte {
	return append([]byte(secret), make([]byte, max(0, minSecret-len(secret)))...)
}

// tooShort returns a warning if the secret is so short that it can be guessed.
func tooShort(variable, secret string) string {
	if len(secret) >= minSecret {
		return ""
	}
	return fmt.Sprintf("\nwarning: %s has %d bytes and can be guessed; a secret must have at least %d random bytes", variable, len(secret), minSecret)
}

// salts returns the salts that a cookie may have been signed with. The first is the one
// that session.New makes of the cookie's name. The second is Flask's, which is the same
// for all names.
func salts(name string, payload []byte) []string {
	suffix := ""
	if name != "session" {
		suffix = "." + name
	}
	if kindOf(payload) == sessionID {
		return []string{"session-id" + suffix}
	}
	if suffix == "" {
		return []string{"cookie-session"}
	}
	return []string{"cookie-session" + suffix, "cookie-session"}
}

// whyNotValid says why a signature is not valid. It cannot tell a wrong secret, name or
// salt from a changed letter, because all of them lead to another signature.
func whyNotValid(err error, name, signature string, want int) string {
	got := base64.RawURLEncoding.DecodedLen(len(signature))
	hint := map[int]string{sha1.Size: ": try -sha1", sha256.Size: ": try without -sha1"}[got]
	switch {
	case !errors.Is(err, session.ErrSignature):
		return "not valid: " + err.Error()
	case got != want:
		return fmt.Sprintf("not valid: it has %d bytes, want %d%s", got, want, hint)
	}
	return fmt.Sprintf("not valid for a cookie named %.40q: the cookie was changed,\n"+
		"or signed with another secret or salt, or for another name (-name)", name)
}
