// Package server is the serving side of rdist protocol 6: it installs, compares
// and removes files as a client asks for it (reference rdist.md 8, 9).
//
// # What a client cannot do
//
// A client gets at what was granted to it and nothing else, whatever it sends
// and whoever changes the files meanwhile. Every name is walked from the
// descriptor of a granted root, one component after the other, and no link is
// followed, neither on the way nor at its end; "..", absolute names below a
// target, and names with NUL are refused. A link that is a target is itself
// replaced. Only the links in the granted names, and in the account's home
// directory, are followed, once, when the session begins.
//
// A file comes into a temporary one beside its target (made with O_EXCL, mode
// 0600) that gets its times, its owner and, last, its mode by its descriptor, and
// is renamed when all of it has come. Whatever ends the session before
// leaves the old file, and no temporary one.
//
// Special commands are off unless granted. The names in FILE, REMFILE, BASEFILE
// and FILES come to them in the environment, but a list of files longer than the
// 128 KiB that the system takes is a variable of the shell alone. The client, as it must for a real
// server, sends the first three as shell text,
//
//	FILE='...';REMFILE='...';BASEFILE='...';export FILE REMFILE BASEFILE;COMMAND
//
// and of exactly that form only COMMAND is given to the shell; a quote in a value
// is written as quote, backslash, quote, quote. Other text is given to it as it
// is.
//
// A client that says something else than its part of an exchange, or sends a
// link's text of another length than announced, ends the session: what follows
// could be the contents of a file.
//
// # Where it differs from the real server
//
// The mtime 0 stays 0. A minimum of free space is in KiB on the wire. A link in
// a parent directory is an error. After a failed removal while cleaning a client
// that is not ours gets a note instead of an error: it would be out of step.
// Everything that is changed is logged. A file larger than 1 MiB for which there
// is no room is refused before it is sent.
//
// # Extensions
//
// A client of ours asks for extensions in a line of the configuration, words
// with commas between; it is answered by a note of those that are granted, and
// an acknowledgement:
//
//	C cXdigest,other    S ^CXdigest    S ^E
//
// A server that knows none of it, and one without Options.Extensions, answers
// another note, which does not begin with X, and also acknowledges. After that
// a failed removal while cleaning is told by an error, since such a client
// goes on reading.
//
// digest: the line H<rname>, with the meaning that Q<rname> gives the name, asks
// for the contents of a regular file without sending them:
//
//	C Hname             S Y<SHA-256, 64 lower case hexadecimal digits>
//
// The answer is N if there is no such file, or if it is no regular one, and an
// error if it cannot be read.
//
// ahead: a small file, of at most 16 KiB, comes with its contents right behind
// its line, and the next requests may come before the answer was read:
//
//	C r<as R>           S ^E, or what else R is answered in the end
//	C <contents>^E
//
// A file that is refused is read all the same. A client goes on reading the
// answers while more is sent than a pipe takes, so the server may wait for them
// to be read. While cleaning, up to 256 questions of together 8 KiB are asked
// before the first answer is read.
//
// list: a directory is made, put right and entered as by D, and what is in it is
// told in one answer, in the order of the names' octets:
//
//	C d<as D>           S ^E, or what else D is answered
//	                    S Y<what Q is answered> <name>
//	                    S D<the same> <name>
//	                    S Q<name>
//	                    S E
//
// D is a directory. Q is an entry of which a query tells more, such as a FIFO. N in place of E, or
// of everything, says that not all is told, and the client has to ask: with
// options by which queries have other answers (chknfs, chkreadonly, chksym),
// while files are staged, of a directory that cannot be read, has a name that
// cannot be sent, or has more than 16384 entries or 1 MiB of them. Behind another
// answer than ^E nothing is told. A client that finds nothing to remove in the
// listing has no need to clean.
//
// L<name> asks for the same of a directory that is not entered, so that one in
// which all is as wanted need not be. What cannot be listed is answered by N.
//
// delta: a file of which the server has another version is sent as what is new
// in it. The line p<as R> takes the place of R<as R>. The answer is that to R,
// and all goes on as after R, if there is no regular file that the server may
// read, or one of less than 256 KiB, or one too large to be divided; or else a plan and a signature as package
// delta has them, of what is there:
//
//	C p<as R>           S p<octets> <octets of a block> <seed>
//	                    S <signature>
//	C <instructions>^E  S ^E, or what else R is answered in the end
//
// The signature is of the file under the name, opened as the target of R would
// be, so below the granted roots and through no link; of what is there, should
// another version be staged by atomic. It stays open until all has come. What is
// put together goes into the temporary file, or is compared, as if it had been
// sent. If it has not the digest that ends the instructions, because the file
// was changed meanwhile or two blocks had the same sums, the server keeps what is
// there, tells so in a note, and answers N: the client is to send the file by R.
// An instruction that is not one, or makes more than the size in the line, ends
// the session, since nobody could tell requests from contents. If the client
// cannot read its file to the end, it ends the instructions so and sends ^A for
// ^E, as after R.
//
// atomic: an update that is all or nothing. After it was granted,
//
//	C cXatomic begin    S ^E
//	...                           files, links, removals are staged
//	C cXatomic switch   S ^E      all of them take their places, one rename each
//	...                           special commands that check
//	C cXatomic commit   S ^C...   what was replaced is removed, and told of
//	                    S ^E
//
// begins one, lets everything staged take its place, and ends it. commit
// without switch does both. In place of switch or commit,
//
//	C cXatomic abort    S ^E
//
// puts everything back; so does the end of the session, however it comes, and a
// switch that fails, after which the update is over and the answer is an error
// that names the file and, if something could not be put back, where it is.
// Any other answer than ^E is an error: nothing has changed by the request.
//
// Between begin and switch the answers to queries are about what is there, not
// what is staged; a hard link to a staged file is one to what will be there.
// Directories are made, and get their attributes, at once, and are put back by
// abort; a file or link that a directory takes the place of goes at once too.
// Between switch and commit nothing can be staged. Staged files are named
// .rdistXXXXXX, so that programs that read whole directories of configuration
// leave them out. Before the switch, and after it, the file systems are synced:
// what was acknowledged stays over a power cut.
//
// # The journal
//
// What a killed process or a power cut would leave stands in a journal, before it
// is done: temporary files, the directories that an update has made or changed,
// and, durable before the first rename of a switch, each step of it. The word
// commit makes one more line of it durable, and then the update is done. It is the
// file .rdist-journal, or .rdist-journal.1 to .15 for sessions at the same time,
// in the granted directory, or in the one that holds a granted file; where
// everything is granted, in Options.Journal. It is there while a
// session lives that has written something, and its lock tells that.
//
// A session that begins looks there for journals that nobody holds. What was not
// committed it puts back, what was it completes, temporary files it removes; it
// logs so, and tells the client by notes with its first target. Names, places and
// identities are checked as those of a client, since files may have been moved:
// what others have changed since stays, with what was there beside it, and so does
// a journal that tells of files that this session may not write. After a power cut
// before the switch temporary files may be left of which the journal has not come
// to the disk. Clients cannot name journals.
package server
