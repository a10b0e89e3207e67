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
	maxConns = 16               // connections of a pool: more do not help, because Redis runs one command at a time
	maxWait  = 5 * time.Second  // for a call whose context has no earlier deadline
	maxTrust = time.Second      // then a connection that waited must reply to a PING first
	maxIdle  = 30 * time.Second // then a connection that waited is closed, because a firewall may have forgotten it
	maxAge   = time.Minute      // then any connection is closed, because a failover may have moved the name
)

// pool lends connections, one to a call. A connection comes back only when each command
// has had its whole reply, because the next visitor would get the rest of a reply.
type pool struct {
	address  string
	tls      *tls.Config // nil without TLS
	greeting []command
	turns    chan struct{} // has one element for each connection that is lent

	mu     sync.Mutex
	idle   []*conn // the last to come back is the first to be lent
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

// usable reports whether a connection that waits may be lent. It checks the age too: a
// connection in steady use never waits long, but after a failover it may lead to the old
// master, which still opens sessions that have ended.
func (c *conn) usable() bool {
	return time.Since(c.born) < maxAge && time.Since(c.back) < maxIdle
}

// do sends the commands in one go and returns their replies. It returns a serverError as
// its error, or as the reply if the connection can be used again. It ends with the
// context, after a maximum of maxWait.
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

// failure returns err with the store's prefix, or the context's error if the context has
// ended.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if _, said := errors.AsType[serverError](err); said || errors.Is(err, errProtocol) {
		return err
	}
	return fmt.Errorf("session: redisstore: %w", err)
}

// lend returns a connection that waits, or a new one. It pings a connection that has
// waited, because it may be dead, as after a restart of Redis. A save is not tried again
// on another connection.
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

// pick returns a connection that waits, or nil if there is none.
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

// giveBack stores a connection for the next call. After an error it closes the connection
// and the others that wait, because they lead to the same server, which may have
// restarted or may no longer be the master.
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

// close closes the connections that wait. Each other one closes when it comes back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeIdle()
}

// connect opens a connection and sends the greeting.
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

// ping returns nil if Redis is there and this connection has no rest of a reply.
func (c *conn) ping(ctx context.Context) error {
	replies, err := c.exchange(ctx, []command{{"PING"}})
	if err == nil && replies[0] != "PONG" {
		err = errProtocol // the reply to something else
	}
	return err
}

// exchange sends commands and reads a reply to each, until the context ends. After an
// error the connection must be closed, because more of a reply may come.
func (c *conn) exchange(ctx context.Context, commands []command) ([]any, error) {
	c.SetDeadline(time.Time{}) // the context has the one deadline, so that it is also the error
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	replies, err := c.converse(commands)
	if !stop() && err == nil {
		err = ctx.Err() // the connection's deadline is set, or will be at any moment
	}
	return replies, err
}

// converse is exchange without a context.
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
