package main

import (
	"bytes"
	"crypto/rand"
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

// username is the rule for usernames, which pages.html explains. It allows ASCII only.
//
// In Unicode, many letters look alike, some letters can be written in two ways, and
// some have more than one lower case. With each of these, a visitor could register a
// name that looks like another user's.
var username = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{2,31}$`)

// A password can have any characters. Its minimum is the smallest that NIST SP 800-63B
// allows. It has a maximum because every input must have one. The longest password is
// 3072 bytes of a form, so it fits into maxForm.
const (
	minPassword = 8 // characters
	maxPassword = 256
)

// checkRules returns the problems with a name and a password, by field.
func checkRules(name, plain string) map[string]string {
	problems := make(map[string]string)
	if !username.MatchString(name) {
		problems["username"] = "This is not a username that you can register."
	}
	switch n := utf8.RuneCountInString(plain); {
	case strings.Contains(plain, "\x00"):
		// HMAC pads a short key with zero bytes, so a password that ends with zero bytes
		// has the same hash as the password without them.
		problems["password"] = "The password has a zero byte in it, which no keyboard types."
	case n < minPassword:
		problems["password"] = fmt.Sprintf("The password is too short: it has %d characters.", n)
	case n > maxPassword:
		problems["password"] = fmt.Sprintf("The password is too long: it has %d characters.", n)
	}
	return problems
}

// fold returns the name in lower case, so that Ada and ADA are one name.
//
// It changes only A to Z. strings.ToLower changes more: for example, it turns the
// Kelvin sign into k.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}

// account is what the file stores of an account.
type account struct {
	ID       string `json:"id"`   // random, so that no later account has the same
	Name     string `json:"name"` // as it was typed
	password        // adds "salt" and "hash"
}

// scheme is written into the file. It says how the hashes were made, so that a release
// that makes them in another way refuses the file and does not take its own hash of the
// right password for a wrong one.
var scheme = fmt.Sprintf("PBKDF2-SHA-256, %d rounds, salt as text, hash in hexadecimal", rounds)

// A salt and a hash of the scheme look like this. A salt is the result of rand.Text,
// which is 26 characters or, in a later release of Go, more.
var (
	wholeSalt = regexp.MustCompile(`^[A-Z2-7]{26,}$`)
	wholeHash = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// accounts has the accounts of one file.
//
// Only one process may use the file. This process does not see what another process
// writes, and overwrites it.
type accounts struct {
	file  string
	limit int

	saving sync.Mutex                         // held while a name is looked up and then saved
	saved  atomic.Pointer[map[string]account] // what the file has, by folded name: replaced, never changed
}

var (
	errTaken = errors.New("the username is taken")
	errFull  = errors.New("the file has the maximum number of accounts")
	errWrong = errors.New("no account has this username and this password")
)

// content is the content of the file. It has no field for a password, only for its
// hash.
type content struct {
	Scheme   string             `json:"scheme"`
	Accounts map[string]account `json:"accounts"` // by folded name
}

// openAccounts reads the accounts from the file. If there is no file, it begins with no
// accounts.
//
// If any part of the file is damaged, openAccounts fails. If it used the undamaged
// accounts, the next save would lose all the others.
func openAccounts(file string, limit int) (*accounts, error) {
	target, err := resolve(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the accounts in %s: %w", file, err)
	}
	a := &accounts{file: target, limit: limit}
	saved := make(map[string]account)
	data, err := os.ReadFile(target)
	if err == nil {
		saved, err = decode(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the accounts in %s: %w", file, err)
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
		return nil, errors.New("the file must end after its JSON object")
	}
	if c.Scheme != scheme {
		return nil, fmt.Errorf("its scheme is %q, and this program needs %q", c.Scheme, scheme)
	}
	if c.Accounts == nil {
		return nil, errors.New(`it has no "accounts"`)
	}
	for key, a := range c.Accounts {
		if !username.MatchString(a.Name) || key != fold(a.Name) || a.ID == "" || !wholeSalt.MatchString(a.Salt) || !wholeHash.MatchString(a.Hash) {
			return nil, fmt.Errorf("account %q is damaged", key)
		}
	}
	return c.Accounts, nil
}

// find returns the account of a name. Upper and lower case make no difference.
func (a *accounts) find(name string) (account, bool) {
	found, known := (*a.saved.Load())[fold(name)]
	return found, known
}

// check returns the account with this name and password, or errWrong.
//
// If there is no such account, check does the same work on an empty one, because a faster
// response would tell which names exist. Therefore matches comes first in the condition.
func (a *accounts) check(name, guess string) (account, error) {
	found, known := a.find(name)
	if !found.matches(guess) || !known {
		return account{}, errWrong
	}
	return found, nil
}

// add makes an account and saves it. It returns after the account is on the disk.
//
// It returns errTaken, errFull, or an error of the file. After an error there is no such
// account, with one exception: if only syncDir failed, the file may have the account.
func (a *accounts) add(name, plain string) (account, error) {
	if err := a.admits(name); err != nil {
		return account{}, err // before the work of a hash
	}
	made := account{ID: rand.Text(), Name: name, password: password{Salt: rand.Text()}}
	var err error
	if made.Hash, err = hash(plain, made.Salt); err != nil {
		return account{}, err
	}

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

// admits returns errTaken or errFull if no account with this name can be added.
func (a *accounts) admits(name string) error {
	if _, known := a.find(name); known {
		return errTaken
	}
	if len(*a.saved.Load()) >= a.limit {
		return errFull
	}
	return nil
}

// replace writes the content to a second file and then renames that file. A process
// that is killed at any moment leaves the whole old file or the whole new one.
//
// Sync comes before Rename, because after a power failure the new name must not stand
// for a file whose content is missing. The directory is synced after Rename, because
// until then the name on the disk may still lead to the old file.
func replace(file string, c content) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	temp := file + ".tmp"
	os.Remove(temp) // a process that was killed may have left one
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

// syncDir returns after the names in a directory are on the disk.
//
// Windows cannot sync a directory, so syncDir does nothing there. Some file systems
// cannot do it either. They return one of the two errors below, which syncDir ignores.
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

// resolve returns the name of the file itself if file is a symbolic link.
//
// Two programs that use one file by two names must lock the same file. And a rename would
// replace the link, so from then on there would be two files of accounts.
func resolve(file string) (string, error) {
	target, err := filepath.EvalSymlinks(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if _, err := os.Lstat(file); err == nil {
		return "", errors.New("it is a symbolic link to a file that does not exist")
	}
	return file, nil // the first registration makes it
}

// lock keeps a second process from using the file, because each process would overwrite
// the accounts that the other saves. The lock ends when the caller closes the result, or
// when this process ends for any reason.
//
// lock locks a file of its own, because each save replaces the accounts' file.
func lock(file string) (*os.File, error) {
	target, err := resolve(file)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", file, err)
	}
	held, err := os.OpenFile(target+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(held); err != nil {
		held.Close()
		return nil, fmt.Errorf("cannot lock %s, perhaps because another process uses it: %w", file, err)
	}
	return held, nil
}
