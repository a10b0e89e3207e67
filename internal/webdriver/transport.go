package webdriver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

type object = map[string]any

// A transport sends commands to a browser that runs.
type transport interface {
	// send sends a command of the WebDriver standard, by its name there, and returns
	// its result as JSON.
	send(command string, params object) (result json.RawMessage, err error)

	// close closes the browser with all its windows.
	close() error
}

// requests has the method and the path of each command. {id} is a parameter.
var requests = map[string]string{
	"AddCookie":       "POST /cookie",
	"Back":            "POST /back",
	"ElementClear":    "POST /element/{id}/clear",
	"ElementClick":    "POST /element/{id}/click",
	"ElementSendKeys": "POST /element/{id}/value",
	"ExecuteScript":   "POST /execute/sync",
	"FindElement":     "POST /element",
	"Forward":         "POST /forward",
	"GetCookies":      "GET /cookie",
	"GetWindowHandle": "GET /window",
	"Navigate":        "POST /url",
	"NewWindow":       "POST /window/new",
	"PerformActions":  "POST /actions",
	"Refresh":         "POST /refresh",
	"SetWindowRect":   "POST /window/rect",
	"SwitchToFrame":   "POST /frame",
	"SwitchToWindow":  "POST /window",

	// Chromium's own
	"DevTools": "POST /goog/cdp/execute",
	"Log":      "POST /se/log",
}

// httpTransport implements transport with a driver, which is a program that speaks JSON
// over HTTP.
type httpTransport struct {
	session string // the URL of the browser's session at the driver
}

// openHTTP lets the driver at this URL start a browser.
func openHTTP(driver string, capabilities object) (transport, error) {
	result, err := exchange("POST", driver+"/session", object{"capabilities": object{"alwaysMatch": capabilities}})
	if err != nil {
		return nil, err
	}
	var opened struct{ SessionID string }
	if err := json.Unmarshal(result, &opened); err != nil {
		return nil, err
	}
	return httpTransport{driver + "/session/" + opened.SessionID}, nil
}

func (h httpTransport) send(command string, params object) (json.RawMessage, error) {
	method, path, ok := strings.Cut(requests[command], " ")
	if !ok {
		return nil, fmt.Errorf("there is no command %s", command)
	}
	if id, ok := params["id"].(string); ok {
		path = strings.Replace(path, "{id}", id, 1)
	}
	return exchange(method, h.session+path, params)
}

func (h httpTransport) close() error {
	_, err := exchange("DELETE", h.session, nil)
	return err
}

// exchange sends a request to a driver. The response has the result, or the error, under
// value.
func exchange(method, url string, params object) (json.RawMessage, error) {
	var body io.Reader
	if method == "POST" {
		sent, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(sent)
	}
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var reply struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(shorten(reply.Value))
	}
	return reply.Value, nil
}

// patience is how long a command may take. A page may take one minute.
const patience = 2 * time.Minute

// shorten returns the first 1000 bytes of a text.
func shorten(text []byte) string { return fmt.Sprintf("%.1000s", text) }
