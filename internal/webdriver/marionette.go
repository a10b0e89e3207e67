package webdriver

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// marionette implements transport with a connection to Firefox, in Firefox's own
// protocol. A message is JSON after its length in bytes, such as 2:[]. The commands have
// the names of the standard:
//
//	[0, number, "WebDriver:Back", {}]    a command, with its parameters
//	[1, number, null, {"value": null}]   its result, after an error or null
type marionette struct {
	connection net.Conn
	reader     *bufio.Reader
	sent       int         // how many commands
	ended      <-chan bool // closed when Firefox has ended
}

// openMarionette connects to the Firefox that listens at this address.
func openMarionette(addr string, capabilities object, ended <-chan bool) (transport, error) {
	connection, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	m := &marionette{connection: connection, reader: bufio.NewReader(connection), ended: ended}
	if _, err := m.read(); err != nil { // Firefox says first which protocol it speaks
		return nil, err
	}
	_, err = m.send("NewSession", capabilities)
	return m, err
}

func (m *marionette) send(command string, params object) (json.RawMessage, error) {
	return m.exchange("WebDriver:"+command, params)
}

// close returns after Firefox has ended, because the next Firefox needs its profile.
func (m *marionette) close() error {
	defer m.connection.Close()
	if _, err := m.exchange("Marionette:Quit", object{"flags": []string{"eAttemptQuit"}}); err != nil {
		return err
	}
	select {
	case <-m.ended:
		return nil
	case <-time.After(patience):
		return errors.New("firefox does not end")
	}
}

// exchange sends a command and returns its result.
func (m *marionette) exchange(command string, params object) (json.RawMessage, error) {
	m.sent++
	message, err := json.Marshal([]any{0, m.sent, command, params})
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(m.connection, "%d:%s", len(message), message); err != nil {
		return nil, err
	}
	answer, err := m.read()
	if err != nil {
		return nil, err
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(answer, &parts); err != nil || len(parts) != 4 {
		return nil, fmt.Errorf("firefox answers %s", shorten(answer))
	}
	if problem := parts[2]; string(problem) != "null" {
		return nil, errors.New(shorten(problem))
	}
	// Some results are in an object, under value.
	var inside map[string]json.RawMessage
	if json.Unmarshal(parts[3], &inside) == nil && inside["value"] != nil {
		return inside["value"], nil
	}
	return parts[3], nil
}

// read reads a message.
func (m *marionette) read() (message []byte, err error) {
	if err := m.connection.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	length, err := m.reader.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("firefox sends a message of length %q", length)
	}
	message = make([]byte, n)
	_, err = io.ReadFull(m.reader, message)
	return message, err
}
