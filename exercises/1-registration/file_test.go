package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// The file.

func TestAccountsOutliveTheProgram(t *testing.T) {
	t.Parallel()
	file := testAdasFile(t)
	browser := webtest.NewBrowser(t, testSite(t, file))
	browser.Post("/register", testForm("Grace", "another password")).MustBeAt("/dashboard")
	browser.Handler = testSite(t, file) // restarted
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Grace!")
	browser.Post("/login", testForm("grace", "another password")).MustShow("Welcome to your dashboard, Grace!")
	browser.Post("/register", testForm("ada", testPassword)).MustBe(http.StatusConflict, "The username ada is taken.")
}

// The hashes are of the type password in login.go. Two users of this test have the same
// password.
func TestFileStoresSaltedHashesOf600000Rounds(t *testing.T) {
	t.Parallel()
	file := testAdasFile(t)
	webtest.NewBrowser(t, testSite(t, file)).Post("/register", testForm("Grace", testPassword)).MustBeAt("/dashboard")
	var stored any
	if err := json.Unmarshal(testRead(t, file), &stored); err != nil {
		t.Fatalf("want JSON in the file: %v", err)
	}
	found := testStoredPasswords(stored)
	if len(found) != 2 {
		t.Fatalf("got %d objects with the strings salt and hash, want 2, one for each account", len(found))
	}
	if found[0].Salt == found[1].Salt {
		t.Errorf("got the salt %q twice, want two different salts", found[0].Salt)
	}
	for _, p := range found {
		if len(p.Salt) < 26 {
			t.Errorf("got the salt %q, want at least 26 characters", p.Salt)
		}
		key, err := pbkdf2.Key(sha256.New, testPassword, []byte(p.Salt), 600_000, 32)
		if err != nil {
			t.Fatal(err)
		}
		if want := hex.EncodeToString(key); p.Hash != want {
			t.Errorf("got the hash %s, want %s", p.Hash, want)
		}
	}
}

// Other users of the machine must not be able to guess passwords with the hashes.
func TestFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	file := testAdasFile(t)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	webtest.NewBrowser(t, testSite(t, file)).Post("/register", testForm("Grace", testPassword)).MustBeAt("/dashboard")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode != 0o600 { // Windows has other rights
		t.Errorf("got a file of mode %v, want %v", mode, fs.FileMode(0o600))
	}
	if bytes.Contains(testRead(t, file), []byte(testPassword)) {
		t.Error("the file has the password, want only its hash")
	}
}

// The test gives the file a second name. If the program replaces the file, the old
// content is still there under the second name.
func TestFileIsReplacedAndNeverWrittenInto(t *testing.T) {
	t.Parallel()
	file := testAdasFile(t)
	before := testRead(t, file)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(file, link); err != nil {
		t.Fatal(err)
	}
	webtest.NewBrowser(t, testSite(t, file)).Post("/register", testForm("Grace", testPassword)).MustBeAt("/dashboard")
	if !bytes.Equal(testRead(t, link), before) {
		t.Error("the program wrote into the file, want a new file: a killed process would leave half of it")
	}
	if bytes.Equal(testRead(t, file), before) {
		t.Error("the file did not change, want it to have Grace's account")
	}
}

// In this test, the directory of the file is gone when the visitor registers.
func TestWhatCannotBeSavedIsNotRegistered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	browser := webtest.NewBrowser(t, testSite(t, filepath.Join(dir, "accounts.json")))
	testWrite(t, dir, nil) // no directory can be made in its place
	page := browser.Post("/register", testForm("Ada", testPassword))
	page.MustBe(http.StatusServiceUnavailable, "The account could not be saved. This is a fault of the site. Try again later.")
	page.MustNotShow(dir)
	browser.Get("/dashboard").MustBeAt("/login")
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	browser.Post("/register", testForm("Ada", testPassword)).MustBeAt("/dashboard")
}

func TestOfTwoRegistrationsOfOneNameAtOnceOneWins(t *testing.T) {
	t.Parallel()
	file := testFile(t)
	handler := testSite(t, file)
	names := []string{"Ada", "ADA"}
	var pages [2]webtest.Page
	var both sync.WaitGroup
	for i, name := range names {
		both.Go(func() {
			r := testPost("/register", strings.NewReader(testForm(name, "the password of "+name).Encode()))
			pages[i] = webtest.NewBrowser(t, handler).Send(r)
		})
	}
	both.Wait()
	winner, loser := 0, 1
	if pages[0].Status != http.StatusSeeOther {
		winner, loser = 1, 0
	}
	pages[winner].MustBe(http.StatusSeeOther, "")
	pages[loser].MustBe(http.StatusConflict, "The username "+names[loser]+" is taken.")
	again := webtest.NewBrowser(t, testSite(t, file)) // the file has the winner too
	again.Post("/login", testForm("ada", "the password of "+names[winner])).MustShow("Welcome to your dashboard, " + names[winner] + "!")
	again.Post("/login", testForm("ada", "the password of "+names[loser])).MustBe(http.StatusForbidden, "Invalid credentials")
}

// If the program began with the accounts that it can still read, its next save would lose
// all the others.
func TestDamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	file := testAdasFile(t)
	for name, all := range testDamages(bytes.TrimSpace(testRead(t, file))) {
		t.Run(name, func(t *testing.T) {
			for _, data := range all {
				mustRefuse(t, file, data, name)
			}
		})
	}
}

// With another number of rounds, every right password would seem wrong.
func TestFileWithAnotherNumberOfRoundsIsRefused(t *testing.T) {
	file := testAdasFile(t)
	whole := testRead(t, file)
	if !bytes.Contains(whole, []byte("600000")) {
		t.Fatal("the file does not have the number of rounds, want 600000 in it")
	}
	mustRefuse(t, file, bytes.ReplaceAll(whole, []byte("600000"), []byte("500000")), "another number of rounds")

	// An earlier release of the solution stored salts and hashes in base64.
	mustRefuse(t, file, []byte(`{
  "scheme": "PBKDF2-SHA-256, 600000 rounds",
  "accounts": {
    "ada": {
      "id": "SW25XB257AW3HF2OEX6FTPF6ZB",
      "name": "Ada",
      "salt": "OWNSjKrot/QoztDDQ+5ndw==",
      "hash": "yfP+H6vAcbDxJQuNAaxnm/39WTw2nVcm7GQX6lk6TgE="
    }
  }
}`), "base64")
}

// This test kills the program while it writes. From outside, the test can see only one
// sign of that: another file appears beside the accounts.
func TestKilledProgramForgetsNoOne(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signal that kills")
	}
	t.Parallel()
	file := testAdasFile(t)
	names := []string{"Ada"}
	for range 2 {
		names = append(names, testRegisterAndDie(t, file)...)
	}
	browser := webtest.NewBrowser(t, testSite(t, file)) // fails if the file is damaged
	for _, name := range names {
		browser.Post("/register", testForm(name, testPassword)).MustBe(http.StatusConflict, "is taken")
	}
	browser.Post("/register", testForm("Grace", testPassword)).MustBeAt("/dashboard")
}

// testRegisterAndDie lets a child register names, and kills it. It returns the names that
// the child reported as registered.
func testRegisterAndDie(t *testing.T, file string) (names []string) {
	t.Helper()
	cmd := testChild(t, "register", file)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		names = append(names, lines.Text())
		switch len(names) {
		case 1:
			go testKillWhenItWrites(cmd, filepath.Dir(file), ended)
		case 3:
			cmd.Process.Kill() // the child writes no file that this test can see
		}
	}
	close(ended)
	cmd.Wait()
	if len(names) == 0 {
		t.Fatalf("a child process must register three names, and registered none: %s", &errs)
	}
	if got, want := cmd.ProcessState.String(), "signal: killed"; got != want {
		t.Errorf("the child: got the state %s, want %s\n%s", got, want, &errs)
	}
	return names
}

// testKillWhenItWrites kills the process as soon as there is another file in dir.
func testKillWhenItWrites(cmd *exec.Cmd, dir string, ended <-chan struct{}) {
	before, _ := os.ReadDir(dir)
	for {
		select {
		case <-ended:
			return
		default:
		}
		if now, err := os.ReadDir(dir); err != nil || len(now) > len(before) {
			cmd.Process.Kill()
			return
		}
	}
}

// testRegisterThree registers three new names. It prints each name after it was
// registered, and then waits until the test kills this process.
func testRegisterThree(file string) error {
	sessions, err := session.New(testSecret, options())
	if err != nil {
		return err
	}
	handler, err := newHandler(sessions, file, 100)
	if err != nil {
		return err
	}
	for i := range 3 {
		name := fmt.Sprintf("user-%d-%d", os.Getpid(), i)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, testPost("/register", strings.NewReader(testForm(name, testPassword).Encode())))
		if w.Code != http.StatusSeeOther {
			return fmt.Errorf("%s cannot register: got status %d, want 303", name, w.Code)
		}
		fmt.Println(name)
	}
	select {}
}

// TestMain runs the tests, or plays a role if testChild made this process.
func TestMain(m *testing.M) {
	role, file := os.Getenv("REGISTRATION_CHILD"), os.Getenv("REGISTRATION_FILE")
	if role == "" {
		os.Exit(m.Run())
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the process that started this one has ended
	}()
	switch role {
	case "main":
		os.Args = []string{"1-registration", "-addr", "127.0.0.1:0", "-accounts", file}
		main()
	case "register":
		if err := testRegisterThree(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// testChild returns a process that plays a role with a file of accounts. The caller starts
// it. It lives for half a minute at most.
func testChild(t *testing.T, role, file string) *exec.Cmd {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name)
	cmd.Env = append(os.Environ(), "REGISTRATION_CHILD="+role, "REGISTRATION_FILE="+file)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// testRegistered returns the file after Ada has registered. The tests share it, because a
// registration takes a hash, which is slow.
var testRegistered = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "registration")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "accounts.json")
	sessions, err := session.New(testSecret, options())
	if err != nil {
		return nil, err
	}
	handler, err := newHandler(sessions, name, 100)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, testPost("/register", strings.NewReader(testForm("Ada", testPassword).Encode())))
	if w.Code != http.StatusSeeOther {
		return nil, fmt.Errorf("Ada cannot register: got status %d, want 303", w.Code)
	}
	return os.ReadFile(name)
})

// testAdasFile returns a file that has Ada's account and no other.
func testAdasFile(t *testing.T) string {
	t.Helper()
	data, err := testRegistered()
	if err != nil {
		t.Fatalf("want a file that has Ada's account after she has registered: %v", err)
	}
	file := testFile(t)
	testWrite(t, file, data)
	return file
}

func testRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testWrite replaces a file or an empty directory.
func testWrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// testStored is what the test reads of an account in the file.
type testStored struct{ Salt, Hash string }

// testStoredPasswords returns the objects with a salt and a hash, wherever they are in a
// JSON value. So a program can store a list of accounts, a map, or anything else.
func testStoredPasswords(value any) []testStored {
	var found []testStored
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			found = append(found, testStoredPasswords(element)...)
		}
	case map[string]any:
		salt, hasSalt := v["salt"].(string)
		hash, hasHash := v["hash"].(string)
		if hasSalt && hasHash {
			found = append(found, testStored{salt, hash})
		}
		for _, element := range v {
			found = append(found, testStoredPasswords(element)...)
		}
	}
	return found
}

// testDamages returns damaged copies of a file that has Ada's account, by what is wrong.
func testDamages(whole []byte) map[string][][]byte {
	replaced := func(pattern, by string) [][]byte {
		return [][]byte{regexp.MustCompile(pattern).ReplaceAll(whole, []byte(by))}
	}
	all := map[string][][]byte{
		"empty":                       {nil},
		"null":                        {[]byte("null")},
		"something after its end":     {append(bytes.Clone(whole), "{}"...)},
		"a name that breaks the rule": replaced(`Ada`, `A!`),
		"a salt that is too short":    replaced(`("salt":\s*")..`, `$1`),
		"a hash that is too short":    replaced(`("hash":\s*")..`, `$1`),
		"a hash with another letter":  replaced(`("hash":\s*").`, `${1}g`),
	}
	for i := 1; i < len(whole); i++ {
		all["cut"] = append(all["cut"], whole[:i])
	}
	if bytes.Contains(whole, []byte(`"ada"`)) { // the file has the name twice
		all["a name that does not fit its key"] = replaced(`Ada`, `Bob`)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(whole, &object) != nil {
		all["an object in place of a list"] = [][]byte{[]byte("{}")}
		return all
	}
	all["a list in place of an object"] = [][]byte{[]byte("[]")}
	for key, value := range object {
		if testIsAccount(value) {
			continue // of a map of accounts, which can be empty
		}
		without := make(map[string]json.RawMessage)
		for other, value := range object {
			if other != key {
				without[other] = value
			}
		}
		data, _ := json.Marshal(without) // it was JSON before
		all["without "+key] = [][]byte{data}
	}
	return all
}

// testIsAccount reports whether a JSON value is an account: an object with strings.
func testIsAccount(value []byte) bool {
	var fields map[string]any
	if json.Unmarshal(value, &fields) != nil {
		return false
	}
	for _, field := range fields {
		if _, ok := field.(string); ok {
			return true
		}
	}
	return false
}

// mustRefuse wants newHandler to return an error that names the file, and to leave the file
// as it is.
func mustRefuse(t *testing.T, file string, data []byte, damage string) {
	t.Helper()
	testWrite(t, file, data)
	_, err := newHandler(testManager(t), file, 100)
	if err == nil {
		t.Fatalf("this file is damaged (%s): want an error, got none\n%.300s", damage, data)
	}
	if !strings.Contains(err.Error(), file) {
		t.Errorf("want the file's name %s in the error, got %q (%s)", file, err, damage)
	}
	if got := testRead(t, file); !bytes.Equal(got, data) {
		t.Fatalf("this file is damaged (%s), and must stay as it is\ngot  %.300q\nwant %.300q", damage, got, data)
	}
}
