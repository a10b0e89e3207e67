// Command cookie looks into a session's cookie: what it holds, when it was
// signed, how much room it takes, and whether its signature holds.
//
//	go run ./cmd/cookie eyJ2aXNpdHMiOjN9.ZVPxAA.XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w
//	go run ./cmd/cookie 'Cookie: theme=dark; counter=eyJ2aXNpdHMiOjN9.ZVPxAA.XpQZ...'
//	curl -sI http://localhost:8080 | go run ./cmd/cookie
//
// It takes a value, name=value, or lines with a Set-Cookie or Cookie header, as
// one argument or from standard input. A cookie that is in use belongs on standard
// input, as it opens its session for whoever reads it: shells remember arguments,
// and other users of the machine can see them.
//
// What is in the cookie it reads without a secret, and so does anybody. With the
// secret in SESSION_SECRET, or the one before it in SESSION_SECRET_OLD, it also
// says whether the signature holds, and warns of a secret that is too short. How old
// a cookie may be is the server's to say: here its age is shown and not judged.
//
//	-name NAME  the cookie's name, which is part of what is signed: by default
//	            the header's, or "session" where there is none
//	-sha1       it was signed with SHA-1, as a stock Flask does
//
// The exit status is 1 when the signature does not hold or it is no session's
// cookie, and 2 when it was called wrongly (go run makes that 1, too). There is
// colour on a terminal, unless NO_COLOR is set. COLUMNS is how wide it is, 80 by
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

// maxInput is how many bytes are read: sixteen times what a cookie can be, since
// it may stand among others.
const maxInput = 64 << 10

// errUsage is wrapped by what is wrong with the call, and not with the cookie.
var errUsage = errors.New("usage")

func main() {
	if info, err := os.Stdin.Stat(); len(os.Args) == 1 && err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintln(os.Stderr, "cookie: reading a cookie from standard input")
	}
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// run returns the exit status. What it says of a cookie goes to stdout, and why
// there is nothing to say to stderr.
func run(args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	holds, err := look(args, env, stdin, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, printable("cookie: "+err.Error()))
		return 2
	case err != nil:
		fmt.Fprintln(stderr, printable("cookie: "+err.Error()))
		return 1
	case !holds:
		return 1
	}
	return 0
}

// look shows the cookie that it is given, and reports whether it holds as far as
// can be told.
func look(args []string, env func(string) string, stdin io.Reader, stdout io.Writer) (holds bool, err error) {
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
	return verdict.status != broken && kindOf(parts.Payload) != foreign, nil
}

// parse returns what the arguments say, and the text that holds the cookie.
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

// input returns the argument, or else what comes from stdin.
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

// verdict is what is known of a signature.
type verdict struct {
	status status
	text   string
}

type status int

const (
	unchecked status = iota // there is no secret to check it with
	held
	broken
)

// verify tries the secrets of the environment.
func verify(c cookie, parts session.Parts, newHash func() hash.Hash, env func(string) string) (verdict, error) {
	result := verdict{unchecked, "not checked, as SESSION_SECRET is not set"}
	for _, variable := range []string{"SESSION_SECRET", "SESSION_SECRET_OLD"} {
		secret := env(variable)
		if secret == "" {
			continue
		}
		for i, salt := range salts(c.name, parts.Payload) {
			// Secure is what New wants of some names. It makes no signature.
			sessions, err := session.New(padded(secret), &session.Options{
				Name: c.name, Salt: salt, Hash: newHash, Secure: true,
			})
			if err != nil {
				return verdict{}, fmt.Errorf("%w: %s: %w", errUsage, variable, err)
			}
			err = sessions.Verify(c.value)
			if err == nil {
				text := fmt.Sprintf("holds, with %s and the salt %.60q", variable, salt)
				if i > 0 {
					text += "\nof Flask, which has it for every name: here it takes Options.Salt"
				}
				return verdict{held, text + tooShort(variable, secret)}, nil
			}
			text := whyBroken(err, c.name, parts.Signature, newHash().Size())
			result = verdict{broken, text + tooShort(variable, secret)}
		}
	}
	return result, nil
}

// minSecret is how many bytes session.New wants in a secret.
const minSecret = 32

// padded returns the secret with zero bytes after it if it is too short for
// session.New. HMAC does the same to a short key, so the signature is the same.
func padded(secret string) []byte {
	return append([]byte(secret), make([]byte, max(0, minSecret-len(secret)))...)
}

// tooShort warns of a secret that can be guessed.
func tooShort(variable, secret string) string {
	if len(secret) >= minSecret {
		return ""
	}
	return fmt.Sprintf("\nwarning: %s has %d bytes and can be guessed; a secret must have at least %d random bytes", variable, len(secret), minSecret)
}

// salts returns what may keep this cookie apart from others that are signed with
// the same secret: what this package's Options make of its name, and after that
// Flask's salt, which is the same for all names.
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

// whyBroken says what is wrong as far as it can be known: the wrong secret, name
// or salt and a changed letter all look alike.
func whyBroken(err error, name, signature string, want int) string {
	got := base64.RawURLEncoding.DecodedLen(len(signature))
	hint := map[int]string{sha1.Size: ": try -sha1", sha256.Size: ": try without -sha1"}[got]
	switch {
	case !errors.Is(err, session.ErrSignature):
		return "does not hold: " + err.Error()
	case got != want:
		return fmt.Sprintf("does not hold: it has %d bytes, want %d%s", got, want, hint)
	}
	return fmt.Sprintf("does not hold for a cookie named %.40q: somebody changed it,\n"+
		"or signed it with another secret or salt, or for another name (-name)", name)
}
