package main

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode/utf8"
)

// A username is plain ASCII. Of all the letters there are, many look alike, some
// can be written in two ways, and some have no one lower case: each of these is a
// way to pass for somebody else. pages.html tells the rule.
var username = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{2,31}$`)

// A password may be made of anything, and 8 characters is the least that NIST
// SP 800-63B allows. The upper bound is there because there has to be one.
const (
	minPassword = 8 // characters
	maxPassword = 256
)

// checkRules returns what is wrong, by field.
func checkRules(name, password string) map[string]string {
	problems := make(map[string]string)
	if !username.MatchString(name) {
		problems["username"] = "This is not a username that you can register."
	}
	switch n := utf8.RuneCountInString(password); {
	case strings.Contains(password, "\x00"):
		// HMAC pads a short key with zero bytes, so the password without them would do.
		problems["password"] = "The password has a zero byte in it, which no keyboard types."
	case n < minPassword:
		problems["password"] = fmt.Sprintf("The password is too short: it has %d characters.", n)
	case n > maxPassword:
		problems["password"] = fmt.Sprintf("The password is too long: it has %d characters.", n)
	}
	return problems
}

// fold returns what two spellings of one username have in common. It knows only
// A to Z. strings.ToLower knows more, among it the Kelvin sign, whose lower case
// is k.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}

// account is what is kept of an account. Getting from the hash to the password
// takes guessing. The salt is random, so that equal passwords have unequal hashes
// and each account has to be guessed by itself.
type account struct {
	ID   string `json:"id"`   // random: no later account has it
	Name string `json:"name"` // as it was typed
	Salt []byte `json:"salt"`
	Hash []byte `json:"hash"`
}

const (
	rounds   = 600_000 // of PBKDF2 with SHA-256 (OWASP Password Storage Cheat Sheet)
	saltSize = 16      // bytes
)

// scheme stands in the file, so that a release that hashes otherwise cannot take
// these hashes for its own.
var scheme = fmt.Sprintf("PBKDF2-SHA-256, %d rounds", rounds)

func hashPassword(password string, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
}

// accounts are those of one file, and of one process: what another one writes to
// the file is neither seen nor kept.
type accounts struct {
	file  string
	limit int

	saving sync.Mutex                         // held while a name is looked up and then written
	saved  atomic.Pointer[map[string]account] // what the file has, by folded name: replaced, never changed
}

var (
	errTaken = errors.New("the username is taken")
	errFull  = errors.New("there are as many accounts as there can be")
	errWrong = errors.New("no account has this username and this password")
)

// content is the file. It has no room for a password, only for what is kept of it.
type content struct {
	Scheme   string             `json:"scheme"`
	Accounts map[string]account `json:"accounts"` // by folded name
}

// openAccounts reads the file, if it is there. One that is damaged anywhere is an
// error: to go on with what is left would lose the rest with the next save.
func openAccounts(file string, limit int) (*accounts, error) {
	a := &accounts{file: file, limit: limit}
	saved := make(map[string]account)
	data, err := os.ReadFile(file)
	if err == nil {
		saved, err = decode(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the accounts in %s cannot be read: %w", file, err)
	}
	a.saved.Store(&saved)
	return a, nil
}

func decode(data []byte) (map[string]account, error) {
	var c content
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the end")
	}
	if c.Scheme != scheme || c.Accounts == nil {
		return nil, fmt.Errorf("its scheme is %q, and not %q, or it has no accounts", c.Scheme, scheme)
	}
	for key, a := range c.Accounts {
		if !username.MatchString(a.Name) || key != fold(a.Name) || a.ID == "" || len(a.Salt) != saltSize || len(a.Hash) != sha256.Size {
			return nil, fmt.Errorf("account %q is damaged", key)
		}
	}
	return c.Accounts, nil
}

// find returns the account of a name, in any case.
func (a *accounts) find(name string) (account, bool) {
	found, known := (*a.saved.Load())[fold(name)]
	return found, known
}

// nobody is hashed for when there is no account.
var nobody = account{Salt: make([]byte, saltSize), Hash: make([]byte, sha256.Size)}

// check returns the account with this name and password, or errWrong. For a name
// that nobody has it works as long: an answer that came sooner would tell which
// names exist. The comparison does not tell by its time how much was right.
func (a *accounts) check(name, password string) (account, error) {
	found, known := a.find(name)
	if !known {
		found = nobody
	}
	hash, err := hashPassword(password, found.Salt)
	if err != nil {
		return account{}, err
	}
	match := subtle.ConstantTimeCompare(hash, found.Hash) == 1
	padded := strings.Contains(password, "\x00") // see checkRules
	if !match || !known || padded {
		return account{}, errWrong
	}
	return found, nil
}

// add makes an account and returns when the disk has it. The error is errTaken,
// errFull, or what went wrong with the file, and then there is no such account
// (unless it was the very last step, syncDir, that failed: the file may have it).
func (a *accounts) add(name, password string) (account, error) {
	if err := a.admits(name); err != nil {
		return account{}, err // before the work of a hash
	}
	made := account{ID: rand.Text(), Name: name, Salt: make([]byte, saltSize)}
	rand.Read(made.Salt) // never fails
	hash, err := hashPassword(password, made.Salt)
	if err != nil {
		return account{}, err
	}
	made.Hash = hash

	a.saving.Lock()
	defer a.saving.Unlock()
	if err := a.admits(name); err != nil {
		return account{}, err // another request was faster
	}
	next := maps.Clone(*a.saved.Load())
	next[fold(name)] = made
	if err := replace(a.file, content{scheme, next}); err != nil {
		return account{}, err
	}
	a.saved.Store(&next)
	return made, nil
}

func (a *accounts) admits(name string) error {
	if _, known := a.find(name); known {
		return errTaken
	}
	if len(*a.saved.Load()) >= a.limit {
		return errFull
	}
	return nil
}

// replace writes beside the file, and then renames. A process that is killed at
// any moment leaves the old file or the new one, whole. Sync comes before Rename:
// when the power fails, the new name must not be there before what it names. And
// the directory is synced after it, as until then the disk may have the old name.
func replace(file string, c content) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	temp := file + ".tmp"
	os.Remove(temp) // what a process that was killed left
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(file))
}

// syncDir returns when the disk has the names of a directory. Windows cannot do
// that, nor can some file systems, which say so with these errors.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// lock keeps a second process from the file until this one ends, however it ends,
// or the result is closed. Each would overwrite what the other registers. It locks
// a file of its own, as the accounts' file is another one after each save.
func lock(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	held, err := os.OpenFile(file+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(held); err != nil {
		held.Close()
		return nil, fmt.Errorf("%s cannot be locked, as when another process uses it: %w", file, err)
	}
	return held, nil
}
