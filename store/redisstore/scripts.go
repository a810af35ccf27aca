package redisstore

import (
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/coatcheck/coatcheck/store"
)

// Every write is one of these scripts, which Redis runs without interruption.
//
// What they share: times are 8 bytes, as in a record. Keys that they find by
// reading others have the tag of those that they are given, and so lie in the
// same slot. A script looks at every key that it needs before it changes
// anything: while a Cluster moves the slot, one of the keys may be elsewhere,
// and the script then fails at that look, having done nothing. A look at one
// key is not enough: the server that the slot comes to answers that the key is
// missing. It fails only a look at several of which one is missing, so a script
// asks for what it misses once more, along with a key that is there.
//
// A server whose memory is full refuses SET and SETRANGE as the first write of
// a script, and no later one. Where nothing grows, PEXPIRE, which is never
// refused, therefore goes first.

// constants stand in the scripts by these names.
var constants = strings.NewReplacer(
	"TOLERANCE", micros(store.ClockTolerance.Microseconds()),
	"MARKFOR", micros(store.MarkFor.Microseconds()),
	"MARKTTL", strconv.Itoa(int((store.MarkFor + keepExpired).Milliseconds())),
	"KEEP", strconv.Itoa(int(keepExpired.Milliseconds())),
	"SLACK", strconv.Itoa(int(indexSlack.Milliseconds())),
	"HEADER", strconv.Itoa(atSubject-1),
	"NAMED", strconv.Itoa(atSubject+store.MaxSubject-1),
	"MOST", strconv.Itoa(most-1),
	"REST", strconv.Itoa(restSize+2),
)

// shared begins every script.
const shared = `
local function time(s) return (struct.unpack('>i8', s)) end

-- The fixed part of a stored record, or nil if there is none.
local function parse(b)
  if #b < HEADER + 1 then return nil end
  local format, flags, version, created, seen, idle, absolute, named =
    struct.unpack('>BBc8i8i8i8i8I2', b)
  if format ~= 1 then return error('coatcheck: unknown format') end
  return {retired = flags % 2 == 1, version = version, created = created,
    seen = seen, absolute = absolute, deadline = math.min(seen + idle, absolute),
    subject = string.sub(b, HEADER + 2, HEADER + 1 + named)}
end

local function look(key) return parse(redis.call('GETRANGE', key, 0, HEADER)) end
local function lookNamed(key) return parse(redis.call('GETRANGE', key, 0, NAMED)) end

-- How long Redis itself keeps what ends at a time, in milliseconds.
local function ttl(at, now) return math.ceil(math.max(at - now, 0) / 1000) + KEEP end

local function base(record) return string.sub(record, 1, -REST) end
local function rest(record) return string.sub(record, -REST + 2) end
local function indexOf(record, r) return base(record) .. 's' .. r.subject end

-- The index must outlive every record in it.
local function keepIndex(index, absolute, now)
  local left = ttl(absolute, now) + SLACK
  if redis.call('PTTL', index) < left then redis.call('PEXPIRE', index, left) end
end

-- What a subject's index names: those there are, and those that are gone.
local function walk(index, tag)
  local there, gone = {}, {}
  for _, m in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local r = look(tag .. 'r' .. m)
    -- Not gone if the slot moves and the record is still to come: fail then.
    if not r then redis.call('EXISTS', index, tag .. 'r' .. m) end
    if r and not r.retired then
      r.rest = m
      there[#there + 1] = r
    else
      gone[#gone + 1] = m
    end
  end
  return there, gone
end

local function forget(index, gone)
  for _, m in ipairs(gone) do redis.call('ZREM', index, m) end
end

local function marked(key, began, now)
  local m = redis.call('GET', key)
  if not m then return false end
  m = time(m) + TOLERANCE
  return began < m and now <= m + MARKFOR
end

local function mark(key, at)
  local m = redis.call('GET', key)
  if not m or time(m) < time(at) then
    -- First, though there may be no key: ending must work in full memory.
    redis.call('PEXPIRE', key, MARKTTL)
    redis.call('SET', key, at, 'PX', MARKTTL)
  end
end
`

func micros(n int64) string { return strconv.FormatInt(n, 10) }

// script is a program that Redis knows by the hash of its source.
type script struct{ source, sha string }

func newScript(body string) *script {
	source := constants.Replace(shared + body)
	hash := sha1.Sum([]byte(source)) // the name that Redis gives it, no protection
	return &script{source, hex.EncodeToString(hash[:])}
}

// call is a script with what it works on.
type call struct {
	script     *script
	keys, args []string
}

func (c *call) build(b rueidis.Builder) rueidis.Completed {
	return b.Evalsha().Sha1(c.script.sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}

// buildFull is for a server that does not know the script yet.
func (c *call) buildFull(b rueidis.Builder) rueidis.Completed {
	return b.Eval().Script(c.script.source).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}

// What scripts answer instead of a result.
const (
	saysNotFound = "not found"
	saysConflict = "conflict"
	saysExists   = "exists"
	saysLimit    = "limit"
	saysEnded    = "ended"
	saysDone     = "done"
)

// KEYS: record, mark of all; with a subject also its index and its mark.
// ARGV: now, began or nothing, the record, max, 1 to refuse, rest of the id
// that is replaced. Answers with the rests of those that it ended.
var createScript = newScript(`
local now = time(ARGV[1])
if ARGV[2] ~= '' then
  local began = time(ARGV[2])
  if marked(KEYS[2], began, now) or KEYS[4] and marked(KEYS[4], began, now) then return 'ended' end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'exists' end
local r = parse(ARGV[3])
local max, evicted, index, tag = tonumber(ARGV[4]), {}, KEYS[3], base(KEYS[1])
if index and not r.retired then
  local there, gone = {}, {}
  if max > 0 then there, gone = walk(index, tag) end
  local live = {}
  for _, other in ipairs(there) do
    if other.deadline > now and other.rest ~= ARGV[6] then live[#live + 1] = other end
  end
  local excess = #live - max + 1
  if max > 0 and excess > 0 then
    if ARGV[5] == '1' then return 'limit' end
    table.sort(live, function(a, b)
      if a.seen ~= b.seen then return a.seen < b.seen end
      if a.created ~= b.created then return a.created < b.created end
      return a.rest < b.rest
    end)
    for i = 1, excess do evicted[i] = live[i].rest end
  end
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ttl(r.deadline, now))
  forget(index, gone)
  for _, m in ipairs(evicted) do
    redis.call('DEL', tag .. 'r' .. m)
    redis.call('ZREM', index, m)
  end
  redis.call('ZADD', index, r.created, rest(KEYS[1]))
  keepIndex(index, r.absolute, now)
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ttl(r.deadline, now))
end
return evicted
`)

// KEYS: record. ARGV: now, the version it must have, the record.
var updateScript = newScript(`
local now = time(ARGV[1])
local b = redis.call('GET', KEYS[1])
local r = b and parse(b)
if not r or r.retired or r.deadline <= now then return 'not found' end
if r.version ~= ARGV[2] then return 'conflict' end
local new = ARGV[3]
local seen = string.sub(new, 19, 26)
if time(seen) < r.seen then seen = string.sub(b, 19, 26) end
local strange = struct.unpack('>I2', new, 43)
new = string.sub(new, 1, 10) .. string.sub(b, 11, 18) .. seen .. string.sub(new, 27, 42) ..
  string.sub(b, 43, 44) .. string.sub(new, 45, 46) .. r.subject .. string.sub(new, 47 + strange)
local changed = parse(new)
local index = r.subject ~= '' and indexOf(KEYS[1], r)
if index then redis.call('EXISTS', KEYS[1], index) end
-- Before SET, which full memory then does not refuse.
if #new <= #b then redis.call('PEXPIRE', KEYS[1], ttl(changed.deadline, now)) end
redis.call('SET', KEYS[1], new, 'PX', ttl(changed.deadline, now))
if index and changed.retired then
  redis.call('ZREM', index, rest(KEYS[1]))
elseif index then
  keepIndex(index, changed.absolute, now)
end
return 'done'
`)

// KEYS: record. ARGV: now.
var touchScript = newScript(`
local now = time(ARGV[1])
local b = redis.call('GETRANGE', KEYS[1], 0, HEADER)
local r = parse(b)
if not r or r.retired or r.deadline <= now then return 'not found' end
if r.seen < now then
  r = parse(string.sub(b, 1, 18) .. ARGV[1] .. string.sub(b, 27))
  redis.call('PEXPIRE', KEYS[1], ttl(r.deadline, now))
  redis.call('SETRANGE', KEYS[1], 18, ARGV[1])
end
return 'done'
`)

// KEYS: records. ARGV: nothing, or a time at which those to remove must have
// been dead. Answers for each key 0 if nothing was removed, 1 if what was
// removed was retired, else 2.
var removeScript = newScript(`
local found = {}
for i, key in ipairs(KEYS) do
  local r = lookNamed(key)
  if r and ARGV[1] ~= '' and r.deadline > time(ARGV[1]) then r = nil end
  if r and r.subject ~= '' then redis.call('EXISTS', indexOf(key, r)) end
  found[i] = r or false
end
local removed = {}
for i, key in ipairs(KEYS) do
  local r = found[i]
  removed[i] = 0
  if r and redis.call('DEL', key) == 1 then
    removed[i] = r.retired and 1 or 2
    if r.subject ~= '' and not r.retired then redis.call('ZREM', indexOf(key, r), rest(key)) end
  end
end
return removed
`)

// KEYS: index, mark. ARGV: now, then the rests of those to keep. Answers with
// the rests of those that it ended.
var removeSubjectScript = newScript(`
redis.call('EXISTS', KEYS[2])
local keep = {}
for i = 2, #ARGV do keep[ARGV[i]] = true end
local tag = string.match(KEYS[1], '^[^}]*}')
local there, gone = walk(KEYS[1], tag)
local ended = {}
for _, r in ipairs(there) do
  if not keep[r.rest] then
    redis.call('DEL', tag .. 'r' .. r.rest)
    redis.call('ZREM', KEYS[1], r.rest)
    ended[#ended + 1] = r.rest
  end
end
forget(KEYS[1], gone)
mark(KEYS[2], ARGV[1])
return ended
`)

// KEYS: mark. ARGV: now.
var markScript = newScript(`
mark(KEYS[1], ARGV[1])
return 'done'
`)

// KEYS: index. Answers with rests and records in turn, the latter cut off
// somewhere in their data.
var listScript = newScript(`
local tag = string.match(KEYS[1], '^[^}]*}')
local all = {}
for _, m in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local b = redis.call('GETRANGE', tag .. 'r' .. m, 0, MOST)
  if b == '' then
    redis.call('EXISTS', KEYS[1], tag .. 'r' .. m) -- fails if it is still to come
  else
    all[#all + 1] = m
    all[#all + 1] = b
  end
end
return all
`)
