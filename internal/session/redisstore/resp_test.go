package redisstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// parse returns the reply that a text is.
func parse(text string) (any, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(text), maxLine))
}

func TestReplies(t *testing.T) {
	for text, want := range map[string]any{
		"+OK\r\n":                           "OK",
		"-ERR no\r\n":                       serverError("ERR no"),
		":1\r\n":                            int64(1),
		":-7\r\n":                           int64(-7),
		"$-1\r\n":                           nil,
		"*-1\r\n":                           nil,
		"$0\r\n\r\n":                        "",
		"$5\r\na\r\nbc\r\n":                 "a\r\nbc",
		"$2\r\n\x00\xff\r\n":                "\x00\xff",
		"*0\r\n":                            []any(nil),
		"*3\r\n$1\r\na\r\n$-1\r\n:2\r\n":    []any{"a", nil, int64(2)},
		"*1\r\n*1\r\n*1\r\n*1\r\n+deep\r\n": []any{[]any{[]any{[]any{"deep"}}}},
	} {
		t.Run(strconv.Quote(text), func(t *testing.T) {
			got, err := parse(text)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%#v, %v, want %#v", got, err, want)
			}
		})
	}
}

func TestTextThatIsNotAReplyIsRefused(t *testing.T) {
	for _, text := range []string{
		"\r\n", "\n", "OK\r\n", "+OK\n", "?1\r\n", "_\r\n", ",1.5\r\n", "#t\r\n",
		":\r\n", ":1a\r\n", ":+1\r\n", ":01\r\n", ":-0\r\n", ": 1\r\n", ":99999999999999999999\r\n",
		"$\r\n", "$-2\r\n", "$x\r\n", "$01\r\na\r\n", "$5\r\nabcdeXY", "$1\r\nabc\r\n", "$999999999\r\nabc", "$9223372036854775807\r\n",
		"*-2\r\n", "*x\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+too deep\r\n", strings.Repeat("*1\r\n", 1_000_000),
		"+" + strings.Repeat("a", 10<<20), "+" + strings.Repeat("a", maxLine) + "\r\n",
	} {
		if got, err := parse(text); !errors.Is(err, errProtocol) {
			t.Errorf("%.40q is %v, %v, want %v", text, got, err, errProtocol)
		}
	}
}

func TestReplyThatIsCutIsAnError(t *testing.T) {
	whole := "*4\r\n$5\r\nhello\r\n:12\r\n+OK\r\n*1\r\n$0\r\n\r\n"
	if _, err := parse(whole); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if got, err := parse(whole[:n]); err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Errorf("%q is %v, %v, want an early end", whole[:n], got, err)
		}
	}
}

// The maximum of a reply is counted over all its parts.
func TestReplyHasAMaximum(t *testing.T) {
	for text, fits := range map[string]bool{
		"$4\r\nabcd\r\n":                       true,
		"$5\r\nabcde\r\n":                      false,
		"*2\r\n+\r\n+\r\n":                     true,
		"*99\r\n" + strings.Repeat("+\r\n", 9): false,
		"+abcdefg\r\n":                         true,
		"+abcdefgh\r\n":                        false,
	} {
		t.Run(strconv.Quote(text), func(t *testing.T) {
			p := parser{bufio.NewReaderSize(strings.NewReader(text), maxLine), 10}
			if _, err := p.reply(maxDepth); fits != (err == nil) {
				t.Errorf("within 10 bytes: %v, want that it fits: %t", err, fits)
			}
		})
	}
	big := strings.Repeat("a", maxRecord)
	if _, err := parse("$16777216\r\n" + big + "\r\n"); err != nil {
		t.Errorf("a reply of %d bytes: %v", maxRecord, err)
	}
}

// A length is only a claim. The parser takes memory for the bytes that come.
func TestClaimedLengthTakesNoMemory(t *testing.T) {
	for _, text := range []string{"$16000000\r\nabc", "*16000000\r\n+a\r\n"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := parse(text); err == nil {
			t.Errorf("%q: no error, want one", text)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%q took %d bytes, want a maximum of %d", text, n, 1<<20)
		}
	}
}

func TestCommandSaysItsLengths(t *testing.T) {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	command{"SET", "", "a\r\nFLUSHALL\r\n"}.write(w)
	w.Flush()
	if want := "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$13\r\na\r\nFLUSHALL\r\n\r\n"; b.String() != want {
		t.Errorf("wrote %q, want %q", b.String(), want)
	}
}

// A server may quote a value, a password or an owner.
func TestServerErrorQuotesNothing(t *testing.T) {
	for text, want := range map[string]string{
		"WRONGPASS invalid username-password pair":                                      `"WRONGPASS invalid username-password pair"`,
		"ERR unknown command 'EVAL', with args: 'hunter2'":                              `"ERR unknown command "`,
		"ERR unknown command `EVAL`, with args beginning with: `hunter2`, `data`":       `"ERR unknown command "`,
		`ERR unknown command "hunter2"`:                                                 `"ERR unknown command "`,
		"ERR unknown argument \u2018hunter2\u2019":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u2019hunter2\u2019":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u201chunter2\u201d":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u201ehunter2\u201c":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u00abhunter2\u00bb":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u2039hunter2\u203a":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u300chunter2\u300d":                                      `"ERR unknown argument "`,
		"ERR unknown argument \u00b4hunter2\u00b4":                                      `"ERR unknown argument "`,
		"ERR unknown argument \uff02hunter2\uff02":                                      `"ERR unknown argument "`,
		"ERR unknown argument \x93hunter2\x94":                                          `"ERR unknown argument "`, // Windows-1252
		"'hunter2' is no command":                                                       `""`,
		"OOM command not allowed when used memory > 'maxmemory'. script: f, on @user:1": `"OOM command not allowed when used memory > "`,
		"ERR \x1b[31m" + strings.Repeat("x", 1000):                                      `"ERR \x1b[31m` + strings.Repeat("x", 91) + `"`,
	} {
		t.Run(fmt.Sprintf("%.60q", text), func(t *testing.T) {
			if got := serverError(text).Error(); got != "session: redisstore: the server says "+want {
				t.Errorf("the error is %q, want %s", got, want)
			}
		})
	}
}

// FuzzReply writes each array of strings that the parser reads as a command again. The
// bytes must be the same.
func FuzzReply(f *testing.F) {
	for _, text := range []string{
		"+OK\r\n", "-ERR no\r\n", ":1\r\n", "$-1\r\n", "$3\r\nabc\r\n", "*2\r\n$1\r\na\r\n$0\r\n\r\n", "*1\r\n*-1\r\n", "$9\r\nab", "*9\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rest := bytes.NewReader(text)
		r := bufio.NewReaderSize(rest, maxLine)
		reply, err := readReply(r)
		if err != nil {
			return
		}
		var words command
		values, _ := reply.([]any)
		for _, value := range values {
			word, ok := value.(string)
			if !ok {
				return
			}
			words = append(words, word)
		}
		if len(words) == 0 || bytes.Contains(text, []byte("+")) {
			return // it is not an array, or has strings in the form of lines
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		words.write(w)
		w.Flush()
		if read := text[:len(text)-rest.Len()-r.Buffered()]; !bytes.Equal(b.Bytes(), read) {
			t.Errorf("the command is %q, want %q as it was read", b.Bytes(), read)
		}
	})
}
