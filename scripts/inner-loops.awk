# Prints the inner loop that does most of the work, out of a program's disassembly (`objdump -d
# --no-show-raw-insn`): of all loops without a loop in them, in functions whose name matches
# `where`, the one with most instructions that match `wanted`, and of these the shortest.
/^[0-9a-f]+ <.*>:$/ { name = $2; split("", at); lines = 0; last = -1; next }
!match($0, /^ +[0-9a-f]+:\t/) || name !~ where { next }
{
    address = $1
    sub(/:/, "", address)
    text = substr($0, RSTART + RLENGTH)
    sub(/[ \t]*(\/\/|<).*/, "", text)
    at[address] = lines
    line[lines++] = text
    split(text, part, "\t")
    if (part[1] !~ /^(b|b\..*|cbn?z|tbn?z)$/ || !match(text, /[0-9a-f]+$/)) next
    target = substr(text, RSTART)
    if (!(target in at)) next
    first = at[target]
    if (first > last) {
        found = 0
        for (i = first; i < lines; i++) if (line[i] ~ wanted) found++
        if (found > most || (found == most && found > 0 && lines - first < instructions)) {
            most = found
            instructions = lines - first
            # Where it jumps back to does not matter to llvm-mca.
            sub(/[0-9a-f]+$/, "#0", line[lines - 1])
            loop = ""
            for (i = first; i < lines; i++) loop = loop line[i] "\n"
        }
    }
    last = lines - 1
}
END { printf "%s", loop }
