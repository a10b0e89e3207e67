package redisstore

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	maxConns = 16               // connections of a pool: Redis does one thing at a time anyway
	maxWait  = 5 * time.Second  // for a call whose context sets no earlier end
	maxTrust = time.Second      // after it, a connection that waited must answer a PING first
	maxIdle  = 30 * time.Second // after it, a connection that waited is closed: a firewall may have forgotten it
	maxAge   = time.Minute      // after it, any connection is closed: a failover may have moved the name
)

// pool lends connections, one to a call. A connection comes back only when each
// command that went out has had its whole reply: the rest of a reply would be the
// next visitor's.
type pool struct {
	address  string
	tls      *tls.Config // nil without TLS
	greeting []command
	turns    chan struct{} // one in it for each connection that is lent

	mu     sync.Mutex
	idle   []*conn // the last to come back is the first to go
	closed bool
}

// conn is a connection to Redis.
type conn struct {
	net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	born time.Time // when it was made
	back time.Time // when it came back to the pool
}

// usable reports whether a connection that waits may be lent. One in steady use never
// waits long, but after a failover it may lead to a server that is no longer the
// master and still opens sessions that have ended.
func (c *conn) usable() bool {
	return time.Since(c.born) < maxAge && time.Since(c.back) < maxIdle
}

// do sends the commands at once and returns their replies. A serverError is the error,
// unless it leaves the connection: then it is the reply. A call ends with the context,
// and at most after maxWait.
func (p *pool) do(ctx context.Context, commands ...command) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, failure(ctx, ctx.Err())
	}
	c, err := p.lend(ctx)
	if err != nil {
		return nil, failure(ctx, err)
	}
	replies, err := c.exchange(ctx, commands)
	p.giveBack(c, err)
	if err != nil {
		return nil, failure(ctx, err)
	}
	return replies, nil
}

// failure says what failed, and whether it was the context that ended.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if _, said := errors.AsType[serverError](err); said || errors.Is(err, errProtocol) {
		return err
	}
	return fmt.Errorf("session: redisstore: %w", err)
}

// lend returns a connection that waits, or a new one. One that has waited may be
// dead, as after a restart of Redis, and a save is not tried on another.
func (p *pool) lend(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := p.pick()
	if err != nil {
		return nil, err
	}
	if c != nil && time.Since(c.back) >= maxTrust {
		if err := c.ping(ctx); err != nil {
			p.giveBack(c, err)
			c = nil
		}
	}
	if c == nil {
		return p.connect(ctx)
	}
	return c, nil
}

// pick returns a connection that waits, nil when there is none.
func (p *pool) pick() (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	for last := len(p.idle) - 1; last >= 0; last-- {
		c := p.idle[last]
		p.idle = p.idle[:last]
		if c.usable() {
			return c, nil
		}
		c.Close()
	}
	return nil, nil
}

// giveBack keeps a connection for the next call. After an error it closes the
// connection and the others that wait: they lead to the same server, which restarted,
// or is no longer the master.
func (p *pool) giveBack(c *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.closeIdle()
	}
	if err != nil || p.closed {
		c.Close()
		return
	}
	c.back = time.Now()
	p.idle = append(p.idle, c)
}

// closeIdle closes the connections that wait. The lock is held.
func (p *pool) closeIdle() {
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeIdle()
}

// connect opens a connection and says the greeting.
func (p *pool) connect(ctx context.Context) (*conn, error) {
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if p.tls != nil {
		dialer = &tls.Dialer{Config: p.tls}
	}
	nc, err := dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, r: bufio.NewReaderSize(nc, maxLine), w: bufio.NewWriter(nc), born: time.Now()}
	if _, err := c.exchange(ctx, p.greeting); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ping asks whether Redis is there, and listens to this connection only.
func (c *conn) ping(ctx context.Context) error {
	replies, err := c.exchange(ctx, []command{{"PING"}})
	if err == nil && replies[0] != "PONG" {
		err = errProtocol // the reply to something else
	}
	return err
}

// exchange sends commands and reads a reply to each. After an error the connection
// is of no use: it may have more to say.
func (c *conn) exchange(ctx context.Context, commands []command) ([]any, error) {
	c.SetDeadline(time.Time{}) // the context has the one deadline, so that it is also the error
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	replies, err := c.converse(commands)
	if !stop() && err == nil {
		err = ctx.Err() // its deadline is spoilt
	}
	return replies, err
}

func (c *conn) converse(commands []command) ([]any, error) {
	for _, command := range commands {
		command.write(c.w)
	}
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	replies := make([]any, len(commands))
	for i := range replies {
		reply, err := readReply(c.r)
		if err != nil {
			return nil, err
		}
		if no, ok := reply.(serverError); ok && !no.leavesConnection() {
			return nil, no
		}
		replies[i] = reply
	}
	if c.r.Buffered() > 0 {
		return nil, errProtocol // a reply too many
	}
	return replies, nil
}
