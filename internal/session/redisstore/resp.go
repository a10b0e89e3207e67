package redisstore

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The protocol is RESP, version 2. A command is an array of strings, each with its
// length before it, so that no value can be taken for a command:
//
//	*2\r\n $5\r\nHMGET\r\n $3\r\nkey\r\n      (without the spaces)
//
// A reply is a line, such as +OK, -ERR text or :1, or a string or an array with its
// length before it. The length -1 means that there is no string or array.

// These limit how much memory a peer can take.
const (
	maxReply = maxRecord + 1<<16 // bytes of one reply
	maxLine  = 4096              // bytes of a line
	maxDepth = 4                 // arrays in arrays
)

// errProtocol is the error for bytes that are not a reply, or not a reply to the command.
var errProtocol = errors.New("session: redisstore: the server does not speak as Redis does")

// serverError is a reply that refuses a command.
type serverError string

// Error returns the server's text up to the first quotation mark of any kind. The text
// begins with the server's word for the kind of error. Error leaves out what a server
// quotes, because it can be a value, a password or an owner, and errors go to the log.
func (e serverError) Error() string {
	text := string(e)
	if i := strings.IndexFunc(text, isQuote); i >= 0 {
		text = text[:i]
	}
	return "session: redisstore: the server says " + strconv.QuoteToASCII(text[:min(len(text), 100)])
}

// isQuote reports whether r may begin what a server quotes. That is every quotation
// mark of Unicode, the two accents that stand for one, and a byte that is not UTF-8,
// because it may be a quotation mark of another character set.
func isQuote(r rune) bool {
	return unicode.Is(unicode.Quotation_Mark, r) || strings.ContainsRune("`´", r) || r == utf8.RuneError
}

// wrongType reports whether the key has another type than the command is for.
func (e serverError) wrongType() bool { return strings.HasPrefix(string(e), "WRONGTYPE ") }

// full reports whether the server has no memory left for the command.
func (e serverError) full() bool { return strings.HasPrefix(string(e), "OOM ") }

// leavesConnection reports whether the connection can be used again. After any other
// refusal the next call opens a new connection. READONLY, LOADING, MASTERDOWN,
// CLUSTERDOWN, MISCONF, NOREPLICAS and UNBLOCKED may mean that another server is the
// master now, and only a new connection asks for its address.
func (e serverError) leavesConnection() bool { return e.wrongType() || e.full() }

// command is a command's name and its arguments.
type command []string

// write writes the command to w. It ignores errors, because w.Flush returns the first of
// them.
func (c command) write(w *bufio.Writer) {
	header := func(kind byte, n int) {
		w.WriteByte(kind)
		w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(n), 10))
		w.WriteString("\r\n")
	}
	header('*', len(c))
	for _, arg := range c {
		header('$', len(arg))
		w.WriteString(arg)
		w.WriteString("\r\n")
	}
}

// readReply returns a string, an int64, nil, a []any of these, or a serverError.
func readReply(r *bufio.Reader) (any, error) {
	p := parser{r: r, left: maxReply}
	return p.reply(maxDepth)
}

// parser reads one reply. It takes memory for the bytes that have come, up to left, and
// never for a length, because a length is only a claim.
type parser struct {
	r    *bufio.Reader
	left int // bytes that the reply may still have
}

// reply reads a reply in which arrays may be nested depth deep.
func (p *parser) reply(depth int) (any, error) {
	line, err := p.line()
	if err != nil {
		return nil, err
	}
	switch kind, rest := line[0], line[1:]; {
	case kind == '+':
		return rest, nil
	case kind == '-':
		return serverError(rest), nil
	case kind == ':':
		return parseInt(rest)
	case kind == '$':
		return p.bulk(rest)
	case kind == '*' && depth > 0:
		return p.array(rest, depth-1)
	}
	return nil, errProtocol
}

// line returns a line of at least one byte, without its end.
func (p *parser) line() (string, error) {
	line, err := p.r.ReadSlice('\n') // into a buffer of maxLine bytes
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errProtocol
	}
	if err != nil {
		return "", err
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || len(text) == 0 || !p.take(len(line)) {
		return "", errProtocol
	}
	return string(text), nil
}

// take counts n more bytes, and reports whether the reply may have them.
func (p *parser) take(n int) bool {
	p.left -= n
	return p.left >= 0
}

// parseInt returns the number in a text. It refuses any other spelling than Redis's, such
// as 01.
func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return 0, errProtocol
	}
	return n, nil
}

// bulk reads a string after its length.
func (p *parser) bulk(length string) (any, error) {
	n, err := parseInt(length)
	if n == -1 && err == nil {
		return nil, nil
	}
	if err != nil || n < 0 || n > int64(p.left) || !p.take(int(n)+2) {
		return nil, errProtocol
	}
	var text strings.Builder
	if _, err := io.CopyN(&text, p.r, n); err != nil {
		return nil, err
	}
	end := make([]byte, 2)
	if _, err := io.ReadFull(p.r, end); err != nil {
		return nil, err
	}
	if string(end) != "\r\n" {
		return nil, errProtocol
	}
	return text.String(), nil
}

// array reads the elements of an array after its length.
func (p *parser) array(length string, depth int) (any, error) {
	n, err := parseInt(length)
	if n == -1 && err == nil {
		return nil, nil
	}
	if err != nil || n < 0 {
		return nil, errProtocol
	}
	var all []any
	for range n {
		reply, err := p.reply(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, reply)
	}
	return all, nil
}
